"""The same three losses in Lightning; the module tells the loss when a batch and an epoch are over.

Command:

    python examples/own_lightning.py

Output:

    an  : of the 5 highest scores, 2.43 are true positives
    en  : of the 5 highest scores, 2.31 are true positives
    role: of the 5 highest scores, 2.55 are true positives
"""

import logging
import warnings

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from spml_annotate import POSITIVE, UNKNOWN
from spml_annotate.training import RememberingLoss

EPOCHS, RATE = 20, 0.02
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*treespec.*")


class Classifier(lightning.LightningModule):
    """A linear layer under any loss; batches are (features, rows)."""

    def __init__(self, loss: RememberingLoss, width: int, classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, classes)
        self.loss = loss

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """The loss of a batch."""
        features, rows = batch
        return self.loss(self.layer(features), rows)

    def on_train_batch_end(self, *_: object) -> None:
        """The optimiser has stepped."""
        self.loss.after_step()

    def on_train_epoch_end(self) -> None:
        """Every row was seen once more."""
        self.loss.end_epoch()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The layer, and what the loss learns."""
        return torch.optim.Adam([{"params": self.layer.parameters()}, *self.loss.parameter_groups(RATE)], lr=RATE)


torch.manual_seed(0)
features = torch.randn(200, 16)
truth = (features @ torch.randn(16, 20) > 4.0).long()
truth[truth.sum(1) == 0, 0] = 1
labels = torch.full_like(truth, UNKNOWN, dtype=torch.int8)
labels[torch.arange(200), torch.multinomial(truth.float(), 1)[:, 0]] = POSITIVE
positives = truth.sum(1).float().mean().item()

for name in ("an", "en", "role"):
    torch.manual_seed(1)
    model = Classifier(RememberingLoss(name, labels, expected_positives=positives, epochs=EPOCHS), 16, 20)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(TensorDataset(features, torch.arange(200)), batch_size=50, shuffle=True))
    top = model.layer(features).topk(5, dim=1).indices
    found = truth.gather(1, top).float().sum(1).mean()
    print(f"{name:4}: of the 5 highest scores, {found:.2f} are true positives")
