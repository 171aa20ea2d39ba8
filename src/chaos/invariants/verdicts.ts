import type { JournalEntry } from '@locmoe/run-format';
import type { ChaosRecord } from '../chaos-record.js';
import type { RunEvidence } from './evidence.js';

type Failure = Extract<JournalEntry, { type: 'failure' }>;

/** Faults that no run can survive without a new generation. */
const FATAL = ['worker-kill', 'agent-kill', 'corrupt-checkpoint'];
/** Faults that a run survives within its generation. */
const HARMLESS = ['slow-link', 'disk-full'];
/** A run that ends within this time after a fault may not have noticed it. */
const LAST_MS = 10_000;

/** I9: every failure is blamed on the victim of the fault before it, and every fault that must be noticed is. */
export function culpritsAreNamed({ faults, journal }: RunEvidence): string[] {
  // A node that is taken in again ends a generation as planned.
  const failures = journal.flatMap((entry) =>
    entry.type === 'failure' && entry.code !== 'NODE_RETURNED' ? [entry] : [],
  );
  const endMs = journal.findLast(({ type }) => type === 'end')?.time ?? Number.POSITIVE_INFINITY;
  const unexplained = failures.filter(({ time }) => !faults.some((fault) => fault.time <= time));
  return [
    ...unexplained.map((failure) => `${nameOf(failure)} failed without a fault: ${failure.message}`),
    ...faults.flatMap((fault, i) => {
      const nextMs = faults[i + 1]?.time ?? Number.POSITIVE_INFINITY;
      const caused = failures.filter(({ time }) => time >= fault.time && time < nextMs);
      const isNoticed = caused.length > 0 || !FATAL.includes(fault.fault) || endMs < fault.time + LAST_MS;
      return [
        ...(isNoticed ? [] : [`nobody noticed: ${fault.detail}`]),
        ...caused
          .filter((failure) => HARMLESS.includes(fault.fault) || !isBlamed(failure, fault))
          .map((failure) => `after \`${fault.detail}\` ${nameOf(failure)} was blamed: ${failure.message}`),
      ];
    }),
  ];
}

/** Tells whether the victim is blamed; a rank stands for its node where the fault was the node's. */
function isBlamed(failure: Failure, fault: ChaosRecord): boolean {
  if (fault.fault === 'coordinator-kill') return true;
  return fault.rank === null ? failure.node === fault.node : failure.rank === fault.rank;
}

function nameOf({ rank, node }: Failure): string {
  return rank === null ? `node ${node ?? '(none)'}` : `rank ${rank}`;
}

const CODES: Readonly<Record<Extract<JournalEntry, { type: 'end' }>['state'], readonly number[]>> = {
  finished: [0],
  stopped: [130],
  failed: [2, 3, 4],
};

/** I10: the exit code matches the end that the journal records. */
export function exitCodesAreAsSpecified({ journal, exitCode }: RunEvidence): string[] {
  const end = journal.at(-1);
  if (end?.type !== 'end')
    return exitCode === null ? [] : [`it ended with code ${exitCode}, and not on record`];
  const violations: string[] = [];
  if (!CODES[end.state].includes(end.exitCode))
    violations.push(`the run is ${end.state}, and its exit code ${end.exitCode}`);
  if (exitCode !== null && exitCode !== end.exitCode)
    violations.push(`its exit code was to be ${end.exitCode}, and was ${exitCode}`);
  return violations;
}
