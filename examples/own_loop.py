"""A loss in a training loop of one's own: plain PyTorch, no trainer.

Command:

    python examples/own_loop.py

Output:

    entropy maximisation on 200 rows with one positive each
    epoch  1: loss -0.028
    epoch 10: loss -0.052
    epoch 20: loss -0.052
    of the 5 highest scores, 2.51 are true positives on average (chance: 0.75)
"""

import torch

from spml_annotate import POSITIVE, UNKNOWN
from spml_annotate.losses.module import as_module

torch.manual_seed(0)
features = torch.randn(200, 16)
truth = (features @ torch.randn(16, 20) > 4.0).long()
truth[truth.sum(1) == 0, 0] = 1

labels = torch.full_like(truth, UNKNOWN, dtype=torch.int8)
labels[torch.arange(200), torch.multinomial(truth.float(), 1)[:, 0]] = POSITIVE

model = torch.nn.Linear(16, 20)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
loss = as_module("em", entropy_weight=0.1)

print("entropy maximisation on 200 rows with one positive each")
for epoch in range(1, 21):
    total = 0.0
    for rows in torch.randperm(200).split(50):
        optimizer.zero_grad()
        value = loss(model(features[rows]), labels[rows])
        value.backward()
        optimizer.step()
        total += value.item() / 4
    if epoch in (1, 10, 20):
        print(f"epoch {epoch:2}: loss {total:.3f}")

top = model(features).topk(5, dim=1).indices
found = truth.gather(1, top).float().sum(1).mean()
print(f"of the 5 highest scores, {found:.2f} are true positives on average (chance: {truth.float().mean() * 5:.2f})")
