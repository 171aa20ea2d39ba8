import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { LogStore } from '@locmoe/logs';
import type { AgentEvent } from 'locmoe/internal/rpc/generated/messages';
import { AgentTarget, encodeFrame, OPEN, Pull, until } from './agent-target.js';
import {
  CoordinatorTarget,
  eventsOf,
  GENERATION,
  METHODS,
  memberMetadata,
  RUN_ID,
} from './coordinator-target.js';
import { Random } from './random.js';
import { framed } from './raw-grpc.js';

/** Replays of a round: of each kind of event, of streams, and of a frame. */
const NUM_OPENS = 8;
const NO_NODE = -1;

/** Replays messages of an earlier generation, or of another run, to a coordinator and an agent of a later one. */
export async function replayToBothPlanes(count: number, seed: number): Promise<string[]> {
  const runDir = mkdtempSync(path.join(tmpdir(), 'locmoe-stale-'));
  const failures: string[] = [];
  const logs = new LogStore(path.join(runDir, 'logs'), (error) => failures.push(String(error)));
  try {
    for (let numCase = 0, done = 0; done < count; numCase++) {
      const random = new Random(seed, numCase);
      const rounds = [
        await replayEvents(random, runDir, logs),
        await replayOnOldSessions(runDir, logs),
        await replayStreams(random),
      ];
      for (const { replayed, problems } of rounds) {
        done += replayed;
        failures.push(...problems.map((problem) => `case ${numCase} of seed ${seed}: ${problem}`));
      }
    }
    return failures;
  } finally {
    logs.close();
    rmSync(runDir, { recursive: true });
  }
}

interface Round {
  readonly replayed: number;
  readonly problems: readonly string[];
}

/** Events of rank 0 about a checkpoint. */
const savesOf = (generation: number): AgentEvent[] => [
  {
    event: 'saving',
    saving: {
      rank: 0,
      step: 1,
      generation,
      bytes: 64,
      isLast: false,
      keepStep: -1,
      sharedCrc32: 7,
      metrics: {},
    },
  },
  { event: 'shards', shards: { rank: 0, step: 1, generation, files: [], noRoom: '' } },
];

/** Identifies an earlier generation of this run, or another run. */
const elsewhere = (random: Random) =>
  random.below(4) === 0
    ? { runId: 'another-run', generation: GENERATION }
    : { runId: RUN_ID, generation: random.pick([0, 1, GENERATION - 1]) };

async function replayEvents(random: Random, runDir: string, logs: LogStore): Promise<Round> {
  const target = await CoordinatorTarget.start(runDir, logs);
  const { problems, coordinator, raw } = target;
  try {
    target.speaker = NO_NODE;
    const replay = async (node: number, event: AgentEvent) => {
      const { runId, generation } = elsewhere(random);
      const call = raw.open(METHODS.Session.path, memberMetadata(node, generation, runId));
      const end = await call.end(framed(METHODS.Session.requestSerialize(event)));
      if (end.status !== status.FAILED_PRECONDITION || !/ is over; | this is run /.test(` ${end.details}`))
        problems.push(`${event.event} of generation ${generation} of ${runId}: ${end.status} ${end.details}`);
    };
    const replayAll = (node: number) => Promise.all(eventsOf(node).map((event) => replay(node, event)));
    // Replays happen before the members of this generation have their sessions, and while they train.
    await target.join();
    const early = await replayAll(random.below(2));
    const session = (await target.begin())[0]!;
    const late = await replayAll(random.below(2));
    if (coordinator.lifecycle.state.kind !== 'running')
      problems.push(`the run is ${coordinator.lifecycle.state.kind}`);
    const end = await session.end(
      framed(METHODS.Session.requestSerialize(random.pick(savesOf(GENERATION - 1)))),
    );
    if (end.status !== status.INVALID_ARGUMENT)
      problems.push(`a save of an earlier generation: ${end.status}`);
    return { replayed: early.length + late.length + 1, problems };
  } finally {
    target.close();
  }
}

/** The members of a generation that has failed go on to speak while the next one waits for its nodes, and while it trains. */
async function replayOnOldSessions(runDir: string, logs: LogStore): Promise<Round> {
  const target = await CoordinatorTarget.start(runDir, logs, GENERATION - 1);
  const { problems } = target;
  // Last lines of a log are kept, whatever their generation.
  const replays = [0, 1].map((node) =>
    eventsOf(node).filter((event) => event.event !== 'logs' && (node === 0 || event.event !== 'validation')),
  );
  try {
    const sessions = await target.begin();
    await target.restart(sessions[0]!);
    target.speaker = NO_NODE;
    const next = target.coordinator;
    const replay = (node: number) => {
      for (const event of replays[node]!)
        sessions[node]!.write(framed(METHODS.Session.requestSerialize(event)));
      return sessions[node]!.end();
    };
    await replay(0);
    if (next.lifecycle.state.kind !== 'waiting')
      problems.push(`before it began, the run is ${next.lifecycle.state.kind}`);
    await target.begin();
    await replay(1);
    if (next.lifecycle.state.kind !== 'running')
      problems.push(`while it trains, the run is ${next.lifecycle.state.kind}`);
    return { replayed: replays.flat().length, problems };
  } finally {
    target.close();
  }
}

async function replayStreams(random: Random): Promise<Round> {
  const target = await AgentTarget.start();
  const problems: string[] = [];
  try {
    const calls = Array.from({ length: NUM_OPENS }, async () => {
      const { runId, generation } = elsewhere(random);
      const open = { ...OPEN, generation, runId: runId === RUN_ID ? OPEN.runId : runId };
      const { status: ended } = await target.raw.open(Pull.path).end(framed(Pull.requestSerialize({ open })));
      if (ended !== status.FAILED_PRECONDITION)
        problems.push(`a stream of generation ${generation} of ${runId}: status ${ended}`);
    });
    await Promise.all(calls);
    if (target.errors.length > 0)
      problems.push(`streams of others failed the agent: ${target.errors[0]!.line}`);
    const generation = random.pick([0, 1, OPEN.generation - 1]);
    const payload = random.bytes(16);
    target.toAgent.write(encodeFrame({ generation, operation: 1, sections: [1, 0, 0, 16], payload }));
    const ring = target.segment.ring(1, 0);
    await until(() => target.errors.length > 0 || ring.head > 0);
    if (target.errors.length === 0 || ring.head > 0)
      problems.push(`a frame of generation ${generation} was not refused`);
    return { replayed: NUM_OPENS + 1, problems };
  } finally {
    await target.close();
  }
}
