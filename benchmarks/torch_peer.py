"""The same five pieces of work with transformers and torch on CPU, as their users would write them (extra `parity`).

Flat sequences, scaled-dot-product attention, AdamW; several questions about one history are several sequences. Only
`benchmarks/model.py` imports this module.
"""

from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from transformers import Qwen3Config, Qwen3ForCausalLM

ROWS = 8  # sequences of a micro-batch where many are trained on


class Peer:
    """A Qwen3 of transformers with its optimizer."""

    def __init__(self, shape: dict[str, int], dtype: str):
        torch.manual_seed(0)
        config = Qwen3Config(**shape, tie_word_embeddings=True, max_position_embeddings=4096, attention_bias=False)
        config.eos_token_id = None  # every sample runs to its last token
        self.model = Qwen3ForCausalLM(config).to(getattr(torch, dtype))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self._vocab = shape["vocab_size"]

    def tokens(self, *shape: int) -> torch.Tensor:
        """Random token ids."""
        return torch.randint(2, self._vocab, shape)

    def flat_step(self, rows: int, length: int) -> Callable[[], None]:
        """One step over plain sequences."""
        tokens = self.tokens(rows, length)

        def step() -> None:
            self.model(tokens, labels=tokens).loss.backward()
            self._update()

        return step

    def questions_step(
        self, users: int, questions: int, history: int, question: int, output: int
    ) -> Callable[[], None]:
        """One step over every question of every user, each with the user's whole history before it."""
        tokens = self.tokens(users * questions, history + question + output)

        def step() -> None:
            for part in tokens.split(ROWS):
                (-self._logprobs(part, output).sum() / (len(tokens) * output)).backward()
            self._update()

        return step

    def sample(self, prompts: int, length: int, samples: int, new_tokens: int) -> Callable[[], None]:
        """Samples of every prompt, all rows in one batch."""
        tokens = self.tokens(prompts, length)

        def run() -> None:
            with torch.no_grad():
                self.model.generate(
                    tokens, attention_mask=torch.ones_like(tokens), do_sample=True, num_return_sequences=samples,
                    max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0, top_k=0, temperature=1.0,
                )  # fmt: skip

        return run

    def policy_step(self, groups: int, history: int, samples: int, output: int) -> Callable[[], None]:
        """Reference and policy log-probs of every sample, the clipped loss with a KL term, and the update."""
        tokens = self.tokens(groups * samples, history + output)
        advantage = torch.randn(groups * samples, 1)
        with torch.no_grad():
            old = torch.cat([self._logprobs(part, output) for part in tokens.split(ROWS)])

        def step() -> None:
            with torch.no_grad():
                reference = torch.cat([self._logprobs(part, output) for part in tokens.split(ROWS)])
            for start in range(0, len(tokens), ROWS):
                part = slice(start, start + ROWS)
                logprob = self._logprobs(tokens[part], output)
                ratio, gap = torch.exp(logprob - old[part]), reference[part] - logprob
                objective = torch.minimum(ratio * advantage[part], ratio.clamp(0.8, 1.2) * advantage[part])
                loss = (-objective + 0.01 * (torch.exp(gap) - gap - 1)).mean()
                (loss * len(logprob) / len(tokens)).backward()
            self._update()

        return step

    def parts(self, rows: int, length: int) -> dict[str, Callable[[], Any]]:
        """Pieces of the flat step, forward and backward: it, attention and products of its layers, head, optimizer."""
        c, dtype = self.model.config, self.model.dtype

        def leaf(*shape: int) -> torch.Tensor:
            return torch.randn(shape, dtype=dtype, requires_grad=True)

        q, k, v = (leaf(rows, n, length, c.head_dim) for n in (c.num_attention_heads, *[c.num_key_value_heads] * 2))
        projections = [module for module in self.model.model.layers.modules() if isinstance(module, torch.nn.Linear)]
        weights = [module.weight.detach().T for module in projections]
        operands = [
            (leaf(rows * length, len(w)).detach(), w, leaf(rows * length, w.shape[1]).detach()) for w in weights
        ]
        hidden, table, targets = (
            leaf(rows * length, c.hidden_size),
            (leaf(self._vocab, c.hidden_size).detach() * c.hidden_size**-0.5).requires_grad_(),
            self.tokens(rows * length),
        )

        def attention() -> None:
            for _ in range(c.num_hidden_layers):
                out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
                torch.autograd.grad(out.pow(2).sum(), (q, k, v))

        def head() -> None:
            loss = torch.nn.functional.cross_entropy((hidden @ table.T).float(), targets)
            torch.autograd.grad(loss, (hidden, table))

        def optimizer() -> None:
            for parameter in self.model.parameters():
                parameter.grad = parameter.detach()
            self._update()

        return {
            "step": self.flat_step(rows, length),
            "attention": attention,
            "products": lambda: [(x @ w, d_out @ w.T, x.T @ d_out) for x, w, d_out in operands],
            "head": head,
            "optimizer": optimizer,
        }

    def _logprobs(self, tokens: torch.Tensor, output: int) -> torch.Tensor:
        logits = self.model(tokens, logits_to_keep=output + 1).logits[:, :-1].float()
        return torch.log_softmax(logits, -1).gather(-1, tokens[:, -output:, None])[..., 0]

    def _update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
