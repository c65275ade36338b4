"""Where the machines of a run meet."""

from finetune_trainer.rendezvous import Rendezvous


def test_the_first_machine_does_not_need_its_own_name_in_dns() -> None:
    first = Rendezvous("first.example.invalid", 0, node=0, nodes=1, patience=5)

    found = first.next_rendezvous()

    assert (found.rank, found.world_size) == (0, 1)
    assert found.bootstrap_store_info.master_addr == "first.example.invalid"
