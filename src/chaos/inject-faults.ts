import { setTimeout as sleep } from 'node:timers/promises';
import { asTrainerError, TrainerError } from '../errors.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { appendChaosRecord, type ChaosRecord } from './chaos-record.js';
import { FAULTS, type FaultContext, type PlannedFault, pick } from './faults.js';
import type { LiveRun } from './live-run.js';
import { coordinatorProcess, isServed } from './run-process.js';

/** Time limit for a run to train again after a fault. */
const RECOVERY_MS = 180_000;

export interface ChaosOptions {
  readonly seed: number;
  /** Names in FAULTS. */
  readonly faults: readonly string[];
  /** Mean time from the end of one fault to the next. */
  readonly everyS: number;
  /** Infinity to inject faults until the run is over. */
  readonly forS: number;
  readonly signal: AbortSignal;
  /** Called with a line for each injection. */
  readonly say: (line: string) => void;
}

/**
 * Injects faults into a run until it is over, the time has passed, or `signal` is aborted. The seed and the number of the
 * injection determine the fault, its victim, its duration and the pause before; a fault strikes while the run trains.
 *
 * @returns the faults that were injected
 * @throws TrainerError `BAD_INPUT` if the run does not take such faults, `NO_RESOURCE` if it does not train again
 */
export async function injectFaults(run: LiveRun, options: ChaosOptions): Promise<ChaosRecord[]> {
  const { seed, faults, everyS, forS, signal, say } = options;
  await assertTakes(run, faults);
  const comesBack = faults.includes('coordinator-kill');
  const endMs = performance.now() + 1000 * forS;
  const injected: ChaosRecord[] = [];
  for (let index = 0; ; index++) {
    const draw = drawsOf(seed, index);
    const dueMs = performance.now() + 1000 * everyS * (0.5 + draw('pause'));
    const waitMs = Math.max(0, Math.min(dueMs, endMs) - performance.now());
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    if (performance.now() >= endMs) return injected;
    const training = await run.untilTraining(RECOVERY_MS, signal, comesBack);
    if (training === null) return injected;
    const fault = pick(faults, draw('fault')) ?? '';
    const planned = FAULTS[fault]!.plan({ run, processes: training.processes, draw });
    if (typeof planned === 'string') {
      say(`${fault}: left out: ${planned}`);
      continue;
    }
    const begun = await beginFault(run, planned, { fault, seed, index, signal, say });
    if (begun === null) continue;
    injected.push(begun.record);
    await begun.over;
  }
}

/** Returns the draws of one injection. */
export function drawsOf(seed: number, index: number): FaultContext['draw'] {
  return (name) => new CounterRandom(seed, `${index}/${name}`).uniform(0);
}

/**
 * Begins a fault and records it.
 *
 * @returns the record, and a promise of the fault's end, which `signal` may hasten; null if it cannot strike any more
 */
export async function beginFault(
  run: LiveRun,
  { begin, end, ...victim }: PlannedFault,
  {
    fault,
    seed,
    index,
    signal,
    say,
  }: Pick<ChaosRecord, 'fault' | 'seed' | 'index'> & Pick<ChaosOptions, 'signal' | 'say'>,
): Promise<{ readonly record: ChaosRecord; readonly over: Promise<void> } | null> {
  const record = { time: Date.now(), seed, index, fault, ...victim };
  try {
    await begin();
  } catch (error) {
    const { code, message } = asTrainerError(error);
    if (code !== 'BAD_INPUT' && code !== 'UNAVAILABLE') throw error;
    say(`${fault}: left out: ${message}`);
    return null;
  }
  appendChaosRecord(run.folder.directory, record);
  say(`${fault}: ${victim.detail}`);
  const last = async () => {
    await sleep(1000 * victim.durationS, undefined, { signal }).catch(() => undefined);
    end?.();
  };
  return { record, over: last() };
}

async function assertTakes(run: LiveRun, faults: readonly string[]): Promise<void> {
  const { runId } = run.folder;
  const refuse = (fault: string, why: string) => {
    throw new TrainerError('BAD_INPUT', `run ${runId} cannot take ${fault}: ${why}`);
  };
  const allows = (await run.status())?.allowsFaults ?? false;
  for (const fault of faults) {
    const { needsConsent, needsSupervisor } = FAULTS[fault]!;
    if (needsConsent && !allows) refuse(fault, 'start it with --allow-faults');
    if (needsSupervisor && !isServed(coordinatorProcess(run.record)))
      refuse(fault, 'it ends with its coordinator; only one of `locmoe serve` can be restarted');
  }
}
