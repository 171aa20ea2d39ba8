import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';

const count = z.int().nonnegative();

const member = z.object({
  node: count,
  host: z.string(),
  pid: count,
  /** Address at which the node serves its peers, host:port. */
  dataAddress: z.string(),
});
/** A node of a generation. */
export type JournalMember = DeepReadonly<z.output<typeof member>>;

const start = z.object({
  kind: z.enum(['nothing', 'checkpoint', 'snapshot']),
  /** Number of updates done at that point. */
  step: count,
});
/** State that a generation starts from. */
export type JournalStart = DeepReadonly<z.output<typeof start>>;

const account = z.object({
  /** Time from the culprit's last sign of life, or from the last step that all had done, to the failure. */
  detectedS: z.number(),
  /** Time from the failure to the start of training in the next generation. */
  restartedS: z.number(),
  /** Steps that were done and have to be repeated, and the time that they had taken. */
  lostSteps: count,
  lostS: z.number(),
});
/** How a run came back after a failure; times in seconds. */
export type RecoveryAccount = DeepReadonly<z.output<typeof account>>;

/** Seconds lost to a failure. */
export function lostSecondsOf({ detectedS, restartedS, lostS }: RecoveryAccount): number {
  return detectedS + restartedS + lostS;
}

/** Parts of the start of a rank, from the command to its node until its first step is applied. */
export const START_PARTS = [
  /** From the spawn until Node loads the program. */
  'node',
  /** The program's modules, TensorFlow's library among them. */
  'modules',
  /** The library that computes. */
  'kernels',
  /** The node's shared memory: made by the agent, mapped by the worker. */
  'rings',
  /** The dataset is opened. */
  'data',
  /** The snapshot is restored by the agent, or else the checkpoint is read; the model is built and loaded. */
  'state',
  /** The wait until all ranks are ready and all nodes are connected. */
  'peers',
  /** Ways of exchange are tried, and weights of another run are validated. */
  'trials',
  /** The first step, until it is applied. */
  'first',
] as const;
export type StartPart = (typeof START_PARTS)[number];

/** Where the time of a rank goes, from the last sign of life of the process to blame to its first new step. */
export const RECOVERY_SPANS = [
  'detection',
  /** From the failure until the old processes are gone and the state to start from is chosen. */
  'end',
  /** Until all nodes have joined. */
  'join',
  ...START_PARTS,
  /** From the first step until the first one that had not been done before. */
  'again',
] as const;

const bill = z.object({
  /** Time from that sign of life until all ranks had done the first new step, in s. */
  outageS: z.number(),
  /** The rank for which the others waited: it waited least for its peers. */
  slowest: count,
  /** The spans by rank, in s. Those of the slowest add up to the outage, except for the way of the messages. */
  ranksS: z.array(z.record(z.enum(RECOVERY_SPANS), z.number())),
});
/** Says what a recovery spent its time on. */
export type RecoveryBill = DeepReadonly<z.output<typeof bill>>;

const generation = count;

/** An event in the life of a run that a coordinator must know to take the run over. */
export const journalEvent = z.discriminatedUnion('type', [
  /** A coordinator process leads the run from here on; `term` numbers these processes. */
  z.object({ type: z.literal('lead'), term: count, pid: count, host: z.string() }),
  z.object({ type: z.literal('generation'), generation, from: start, nodes: count, workersPerNode: count }),
  z.object({ type: z.literal('members'), generation, members: z.array(member) }),
  /** All workers were told to begin. */
  z.object({ type: z.literal('running'), generation }),
  /** A checkpoint was committed. */
  z.object({ type: z.literal('committed'), generation, step: count }),
  z.object({
    type: z.literal('failure'),
    generation,
    code: z.string(),
    message: z.string(),
    rank: count.nullable(),
    node: count.nullable(),
    step: count.nullable(),
  }),
  z.object({ type: z.literal('recovered'), generation, ...account.shape }),
  /** All ranks have done the first step that had not been done before the failure. */
  z.object({ type: z.literal('bill'), generation, ...bill.shape }),
  z.object({ type: z.literal('end'), state: z.enum(['finished', 'stopped', 'failed']), exitCode: z.int() }),
]);
export type JournalEvent = DeepReadonly<z.output<typeof journalEvent>>;

/** `time` is the wall clock in ms since 1970. */
export type JournalEntry = JournalEvent & { readonly time: number };
