"""Three losses in a plain PyTorch loop: without memory, with a moving average, with estimates that are learned.

Command:

    python examples/own_loop_memory.py

Output:

    an   remembers nothing: of the 5 highest scores, 2.42 are true positives
    en   remembers a moving average of scores: of the 5 highest scores, 2.31 are true positives
    role remembers learned estimates: of the 5 highest scores, 2.52 are true positives
"""

import torch

from spml_annotate import POSITIVE, UNKNOWN
from spml_annotate.training import RememberingLoss

EPOCHS, RATE = 20, 0.02

torch.manual_seed(0)
features = torch.randn(200, 16)
truth = (features @ torch.randn(16, 20) > 4.0).long()
truth[truth.sum(1) == 0, 0] = 1
labels = torch.full_like(truth, UNKNOWN, dtype=torch.int8)
labels[torch.arange(200), torch.multinomial(truth.float(), 1)[:, 0]] = POSITIVE
positives = truth.sum(1).float().mean().item()

for name, memory in (("an", "nothing"), ("en", "a moving average of scores"), ("role", "learned estimates")):
    torch.manual_seed(1)
    model = torch.nn.Linear(16, 20)
    loss = RememberingLoss(name, labels, expected_positives=positives, epochs=EPOCHS)
    groups = [{"params": model.parameters()}, *loss.parameter_groups(RATE)]  # role's estimates are trained, too
    optimizer = torch.optim.Adam(groups, lr=RATE)
    for _ in range(EPOCHS):
        for rows in torch.randperm(200).split(50):
            value = loss(model(features[rows]), rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss.after_step()  # what the loss remembers of these rows
        loss.end_epoch()  # what it decides once per epoch, such as the expected negatives of en
    top = model(features).topk(5, dim=1).indices
    found = truth.gather(1, top).float().sum(1).mean()
    print(f"{name:4} remembers {memory}: of the 5 highest scores, {found:.2f} are true positives")
