"""The dispatch: decides which ranks run which task layer, gets the layers there, and goes on when ranks die.

- `protocol`: commands of the coordinator and reports of the ranks; read it first.
- `coordinator`: the state machine on rank 0. Reports and the clock come in, orders go out; no communicator is used.
- `scheduling`: chooses the layers that start next, and packs them into blocks of ranks.
- `transport`: the command stream from rank 0 to groups, and the tree on which reports of wide groups return.
- `rank`: the two threads of every rank. The control thread handles messages; the worker trains.
- `requests`: what users ask of a running job. `health`: heartbeats, and the kill of ranks that hang.
- `membership`: the members that live, and the rebuild of a smaller world after a death.

The way of a layer: the coordinator orders `RunLayer` for a group. The stream brings it to the control threads of the
members. Their workers make a communicator of the group and train. Each member reports `LayerDone`.

A death: a control thread that sees `RankLostError` revokes the communicators of all control threads. These shrink the
world and exchange survivor reports, while groups without a loss train on. Rank 0 sends lost commands again; a lost
`RunLayer` becomes `Abandon`. The group that lost a member gives its layer up. The coordinator starts the layer again
from its checkpoint, unless its outcome was reported before.

The death of rank 0, or of any rank of a job whose tasks exchange parameters while they run: the attempt ends with
`AttemptAbandonedError`. Intact groups stop with a checkpoint, and every worker returns. `pipeline.run.entry` then
starts the next attempt on the survivors from the ledger, with new ids.
"""
