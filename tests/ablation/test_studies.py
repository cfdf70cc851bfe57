"""What the issue of the papers' claims asks for is in the studies, and every claim has its nets."""

from attscale.ablation.claims import CLAIMS
from attscale.ablation.studies import STUDIES


def test_nets_of_a_study_are_trained_alike():
    for study in STUDIES.values():
        rows = [study.experiment(net) for net in study.nets]
        assert len({row.solver for row in rows}) == 1, study.name
        assert len({(row.crop_size, row.trunk) for row in rows}) == 1, study.name


def test_the_13_cells_of_table_1():
    """Typed from table 1: the baseline, then two and three scales, each merge without and with extra supervision."""
    merges = [f"{merge}{number}" for number in (2, 3) for merge in ("max", "average", "attention")]
    assert set(STUDIES["shapes"].nets) == {"largefov", *merges, *(f"{merge}_esupv" for merge in merges)}
    assert len(STUDIES["shapes"].seeds) >= 5
    assert len(STUDIES["camvid"].seeds) >= 3


def test_a_start_is_trained_for_every_seed():
    for study in STUDIES.values():
        if study.start:
            first = STUDIES[study.start[0]]
            assert study.start[1] in first.nets
            assert set(study.seeds) <= set(first.seeds)


def test_what_is_compared_has_the_same_start_and_iterations():
    for study in STUDIES.values():
        if study.beside:
            other = STUDIES[study.beside]
            assert (study.start, study.max_iter, study.dataset) == (other.start, other.max_iter, other.dataset)
            assert set(study.seeds) <= set(other.seeds)
        assert study.base in (STUDIES[study.beside] if study.beside else study).nets


def test_claims_without_any_run():
    """Every net that a claim asks for is one of its study, or of the one beside it."""
    for claim in CLAIMS:
        for name, values in claim.values.items():
            study = STUDIES[name]
            nets = study.nets + (STUDIES[study.beside].nets if study.beside else ())
            assert values({net: {} for net in nets}) is None
