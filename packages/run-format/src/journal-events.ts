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
  z.object({ type: z.literal('end'), state: z.enum(['finished', 'stopped', 'failed']), exitCode: z.int() }),
]);
export type JournalEvent = DeepReadonly<z.output<typeof journalEvent>>;

/** `time` is the wall clock in ms since 1970. */
export type JournalEntry = JournalEvent & { readonly time: number };
