"""The simulation follows what templates say, and what templates say keeps its promises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tools.simulation.contenders import CONNECTIONS, LATENCY, Contender, contenders
from tools.simulation.loads import BOUNDED, LOADS, STEPS, ZERO, Load
from tools.simulation.policies import Measure, Sample, Scaler, Steps, Tracking
from tools.simulation.world import Result, World


@pytest.fixture(scope="module")
def by_name() -> dict[str, Contender]:
    load = Load(name="any", rate=lambda at: 1.0, seconds=60, also=(STEPS, ZERO, BOUNDED))
    return {contender.name: contender for contender in contenders(load)}


def result(contender: Contender, load: Load) -> Result:
    return World(
        load=load,
        scaler=contender.scaler(),
        connections=CONNECTIONS,
        grace=contender.grace,
        boot=contender.boot,
        latency=LATENCY,
    ).run()


def test_policies_are_those_of_the_templates(by_name: dict[str, Contender]) -> None:
    ours = by_name["worker-tier"].scaler()
    (tracking,) = [policy for policy in ours.policies if isinstance(policy, Tracking)]
    assert (tracking.target, tracking.scales_in) == (CONNECTIONS * LATENCY / 2, False)
    beanstalk = by_name["Elastic Beanstalk"].scaler()
    assert {p.threshold for p in beanstalk.policies if isinstance(p, Steps)} == {6e6, 2e6}
    tasks = by_name["QueueProcessing"].scaler()
    # two alarms on one step policy pair, and the processor's target
    assert [p.target for p in tasks.policies if isinstance(p, Tracking)] == [50.0]
    assert {p.threshold for p in tasks.policies if isinstance(p, Steps)} == {0.0, 100.0}


def test_a_step_of_load_is_followed_without_killing_work(by_name: dict[str, Contender]) -> None:
    (step,) = [load for load in LOADS if load.name == "step"]
    ours, beanstalk = (result(by_name[name], step) for name in ("worker-tier", "Elastic Beanstalk"))
    assert ours.killed == 0
    assert ours.minutes_late < 15 < beanstalk.minutes_late
    assert max(ours.instances) > 1 == ours.instances[-1]


def test_one_message_wakes_an_empty_fleet_which_sleeps_again(
    by_name: dict[str, Contender],
) -> None:
    (seldom,) = [load for load in LOADS if load.name == "seldom"]
    asleep, awake = (result(by_name[name], seldom) for name in (ZERO, "worker-tier"))
    first = next(minute for minute, size in enumerate(asleep.instances) if size)
    assert asleep.waiting[first] > 0
    assert asleep.instances[0] == asleep.instances[-1] == 0 < max(asleep.instances)
    assert asleep.waiting[-1] == awake.waiting[-1] == 0
    assert asleep.instance_hours < awake.instance_hours / 3


def test_a_fleet_grows_in_vain_beyond_what_message_groups_can_use(
    by_name: dict[str, Contender],
) -> None:
    (fifo,) = [load for load in LOADS if load.name == "fifo"]
    free, bounded = (result(by_name[name], fifo) for name in ("worker-tier", BOUNDED))
    assert max(bounded.instances) == 2 < max(free.instances)
    assert bounded.minutes_late <= free.minutes_late * 1.1
    assert bounded.instance_hours < free.instance_hours


def test_a_group_has_one_message_in_flight() -> None:
    # given two groups, and connections for ten
    load = Load(name="pairs", rate=lambda at: 5.0, seconds=300, groups=2)
    world = World(
        load=load, scaler=steps((0, 0)), connections=10, grace=0.0, boot=0.0, latency=60.0
    )
    run = world.run()
    # then two messages of 2 s each are worked on at a time, so one a second gets through
    assert 0.7 < (run.messages - run.waiting[-1]) / 300 < 1.3


def test_what_boots_counts_as_in_service() -> None:
    # given a load that asks for more, and a boot that never ends
    load = Load(name="flood", rate=lambda at: 30.0, seconds=600)
    seen: list[float] = []

    class Watching(Scaler):
        def wanted(self, history: Sequence[Sample], *, now: float, size: int, warm: int) -> int:
            seen.extend(sample["instances"] for sample in history[-1:])
            return super().wanted(history, now=now, size=size, warm=warm)

    scaler = Watching(policies=steps((0, 1)).policies, low=1, high=3, warmup=0)
    World(load=load, scaler=scaler, connections=1, grace=0.0, boot=9_999.0, latency=60.0).run()
    assert seen[-1] > 1


def test_the_same_seed_gives_the_same_run(by_name: dict[str, Contender]) -> None:
    load = Load(name="short", rate=lambda at: 5.0, seconds=900)
    first, second = (result(by_name["worker-tier"], load) for _ in range(2))
    assert first == second


def steps(*adjustments: tuple[float, float], kind: str = "ChangeInCapacity") -> Scaler:
    policy = Steps(
        measure=Measure(expression="visible", names={"visible": "visible"}),
        below=False,
        or_equal=True,
        threshold=100,
        periods=1,
        kind=kind,
        adjustments=adjustments,
        least=1,
        cooldown=0,
    )
    return Scaler(policies=[policy], low=1, high=10, warmup=120)


def test_a_step_counts_from_its_threshold_and_what_warms_up_counts_as_there() -> None:
    scaler = steps((0, 1), (400, 5))
    assert scaler.wanted([{"visible": 99}], now=0, size=1, warm=1) == 1
    assert scaler.wanted([{"visible": 100}], now=0, size=1, warm=1) == 2
    assert scaler.wanted([{"visible": 500}], now=0, size=1, warm=1) == 6
    assert scaler.wanted([{"visible": 100}], now=0, size=2, warm=1) == 2


def test_no_policy_leaves_the_bounds() -> None:
    assert steps((0, 99)).wanted([{"visible": 100}], now=0, size=1, warm=1) == 10


def test_target_tracking_needs_three_minutes_and_then_sizes_to_its_target() -> None:
    measure = Measure(expression="visible / instances", names={"visible": "v", "instances": "i"})
    policy = Tracking(measure=measure, target=10, scales_in=False)
    scaler = Scaler(policies=[policy], low=1, high=20, warmup=0)
    above = {"v": 45.0, "i": 1.0}
    assert scaler.wanted([above] * 2, now=0, size=1, warm=1) == 1
    assert scaler.wanted([above] * 3, now=0, size=1, warm=1) == 5


def test_an_instance_that_is_added_ends_no_other() -> None:
    # given a load that one instance cannot take, and no policy that removes any
    load = Load(name="flood", rate=lambda at: 30.0, seconds=1_800)
    run = World(
        load=load, scaler=steps((0, 1)), connections=10, grace=0.0, boot=60.0, latency=60.0
    ).run()
    assert run.killed == 0
    assert run.instances == sorted(run.instances)
    assert run.instances[-1] > 2
