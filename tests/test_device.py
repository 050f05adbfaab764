"""Choice of device and threads."""

import pytest
import torch

from spml_annotate.device import choose_device, set_threads
from spml_annotate.errors import SettingError


def test_auto_takes_the_best_there_is() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device().type == best


def test_a_device_is_taken_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match="'gpu' is not a device"):
        choose_device("gpu")
    with pytest.raises(SettingError, match="no such GPU"):
        choose_device("cuda:63")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_is_refused_where_there_is_none() -> None:
    with pytest.raises(SettingError, match="use --device cpu"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_gpu_is_taken_where_there_is_one() -> None:
    assert choose_device("cuda:0") == torch.device("cuda", 0)


def test_threads_are_limited() -> None:
    import faiss

    before, before_faiss = torch.get_num_threads(), faiss.omp_get_max_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == faiss.omp_get_max_threads() == 1
        set_threads(None)
        assert torch.get_num_threads() == 1
        with pytest.raises(SettingError, match="--threads 0"):
            set_threads(0)
    finally:
        torch.set_num_threads(before)
        faiss.omp_set_num_threads(before_faiss)
