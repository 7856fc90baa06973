"""Messages as they are read from compiled text: how often, between whom, and how many bytes leave a device."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from pixjax.config import MeshConfig
from pixjax.planning.messages import bytes_sent, read_messages
from pixjax.planning.target import run_on_fake_cpus
from pixjax.training.mesh import make_mesh

MESH = (2, 2, 1)


def compiled_text() -> str:
    """Three times 256 floats are gathered over `fsdp`, and once 64 are summed over `data`, of a mesh (2, 2, 1)."""
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=1))

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=PartitionSpec("fsdp"), out_specs=PartitionSpec())
    def step(x):
        def layer(total, number):
            return total + jnp.sin(jax.lax.all_gather(x * number, "fsdp", tiled=True)).sum(), None

        total, _ = jax.lax.scan(layer, jax.lax.pcast(0.0, ("fsdp",), to="varying"), jnp.arange(3.0))
        total = jax.lax.psum(jax.lax.pcast(x[:64], ("data",), to="varying"), "data") + total
        return jax.lax.pmean(total, "fsdp")

    return jax.jit(step).lower(jnp.zeros(256)).compile().as_text()


def test_messages_of_a_loop_count_each_time_and_between_their_devices():
    found = read_messages(run_on_fake_cpus(4, compiled_text), MESH)
    [gathered] = [message for message in found if message.kind == "all-gather"]
    assert (gathered.bytes, gathered.devices, gathered.times, gathered.is_over_replicas) == (1024, 2, 3, False)
    assert gathered.sent() == 3 * 1024 / 2
    [summed] = [message for message in found if message.is_over_replicas]
    assert (summed.kind, summed.bytes, summed.devices, summed.times) == ("all-reduce", 256, 2, 1)
    assert summed.sent() == 2 * 256 / 2
    assert summed.sent(replicas=8) == 2 * 256 * 15 / 16
    assert bytes_sent(found) == sum(message.sent() for message in found)


ON_A_TPU = """
%start (p: f32[8,16]) -> f32[8,64] {
  %all-gather.1 = f32[8,64]{1,0:T(8,128)} all-gather(%p), channel_id=7, replica_groups=%GROUPS%, dimensions={1}
}

%meanwhile (q: f32[8,16]) -> f32[8,64] {
  %all-gather.2 = f32[8,64]{1,0:T(8,128)} all-gather(%q), channel_id=7, replica_groups=%GROUPS%, dimensions={1}
}

%around (s: (s32[], f32[8,16])) -> (s32[], f32[8,16]) {
  %two = s32[]{:T(128)} constant(2)
  %number = s32[]{:T(128)} get-tuple-element(%s), index=0
  %all-reduce.1 = f32[8,16]{1,0} all-reduce(%x), channel_id=6, replica_groups=%GROUPS%
  %next = s32[]{:T(128)} add(%number, %two), metadata={op_name="jit(train_step)/while"}
  ROOT %tuple.1 = (s32[]{:T(128)}, f32[8,16]{1,0}) tuple(%next, %all-reduce.1)
}

%more (r: (s32[], f32[8,16])) -> pred[] {
  %six = s32[]{:T(128)} constant(6)
  %number.1 = s32[]{:T(128)} get-tuple-element(%r), index=0
  ROOT %compare.1 = pred[]{:T(512)} compare(%number.1, %six), direction=LT
}

ENTRY %main (a: f32[8,16]) -> f32[8,64] {
  %fusion.1 = f32[8,64]{1,0} fusion(%a), kind=kCustom, calls=%start
  %while.1 = f32[8,64]{1,0} while(%fusion.1), condition=%more, body=%meanwhile
  %while.2 = (s32[], f32[8,16]) while(%tuple.2), condition=%more, body=%around
  %collective-permute-start.1 = (bf16[4,8]{1,0}, bf16[4,8]{1,0}, u32[], u32[]) collective-permute-start(%b), \
channel_id=8, source_target_pairs={{0,1},{1,0}}, metadata={op_name="jit(train_step)/ring"}
  %reduce-scatter.1 = bf16[4,8]{1,0} reduce-scatter(%b), channel_id=9, replica_groups=%GROUPS%, dimensions={0}
}
"""


@pytest.mark.parametrize(
    ("groups", "is_over_replicas"),
    [
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", False),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", True),
        ("mesh['axis_0'=4,'axis_1'=2], device_ids=([2,4]T(1,0)) {'axis_0'}", False),
        ("mesh['axis_0'=2,'axis_1'=4], device_ids=([4,2]T(1,0)) {'axis_1'}", True),
        ("[2,4]<=[8]", False),
        ("[2,4]<=[4,2]T(1,0)", True),
        ("{{0,1,2,3},{4,5,6,7}}", False),
        ("{{0,2,4,6},{1,3,5,7}}", True),
    ],
)
def test_a_message_that_tpus_take_apart_is_one_between_the_same_devices(groups, is_over_replicas):
    found = read_messages(ON_A_TPU.replace("%GROUPS%", groups), (2, 4, 1))
    gathered, summed, passed, scattered = sorted(found, key=lambda message: message.kind)
    assert (gathered.bytes, gathered.times, gathered.devices) == (2048, 1, 4)
    assert (summed.bytes, summed.times) == (512, 3)  # up to six, two rounds at once
    assert gathered.is_over_replicas is is_over_replicas
    assert (passed.kind, passed.sent(), passed.operation) == ("collective-permute", 64, "jit(train_step)/ring")
    assert scattered.bytes == 4 * 64
    assert scattered.sent() == 4 * 64 * 3 / 4


LOOP = """HloModule jit_train_step

%around (q: (s32[], f32[8])) -> (s32[], f32[8]) {
  %all-reduce.1 = f32[8]{0} all-reduce(%x), channel_id=1, replica_groups={{0,1}}, to_apply=%add
}

%less (r: (s32[], f32[8])) -> pred[] {
  ROOT %fused = pred[] fusion(%r), kind=kLoop, calls=%compare
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %while.1 = (s32[], f32[8]) while(%t), condition=%less, body=%around%ROUNDS%
  %conditional = f32[] conditional(%p, %a, %b), true_computation=%once, false_computation=%never
}

%once (a: f32[]) -> f32[] {
  %all-reduce.2 = f32[3]{0} all-reduce(%a), channel_id=2, replica_groups=%GROUPS%, to_apply=%add
}
"""
KNOWN = ', backend_config={"known_trip_count":{"n":"7"}}'


def test_a_loop_that_says_its_rounds_and_a_branch_of_a_condition_are_counted():
    found = read_messages(LOOP.replace("%ROUNDS%", KNOWN).replace("%GROUPS%", "{}"), (2, 1, 1))
    branched, looped = sorted(found, key=lambda message: message.bytes)
    assert (looped.times, looped.bytes) == (7, 32)
    assert (branched.times, branched.bytes, branched.devices) == (1, 12, 2)


@pytest.mark.parametrize(
    ("rounds", "groups", "kind"), [("", "{}", "f32"), (KNOWN, "every<2>", "f32"), (KNOWN, "{}", "f3x")]
)
def test_what_is_written_in_a_new_way_is_not_counted_wrong(rounds, groups, kind):
    text = LOOP.replace("%ROUNDS%", rounds).replace("%GROUPS%", groups).replace("f32[3]", f"{kind}[3]")
    with pytest.raises((ValueError, LookupError)):
        read_messages(text, (2, 1, 1))
