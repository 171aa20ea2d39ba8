// A worker process: receives its assignment from the node agent, trains, and reports. Started by agent/worker-pool.ts.
import { rmSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ShmTransport } from '../collectives/shm-transport.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, EXIT } from '../errors.js';
import { armFailpoint, placeFailpoints } from '../failpoint.js';
import { collectNow, collectSeldom } from '../garbage-collection.js';
import { createLogger, type Logger, syncDestination } from '../logger.js';
import { monotonicMs } from '../os/monotonic-clock.js';
import { keepInspectorShut } from '../os/on-signals.js';
import { isRunning } from '../os/process-info.js';
import type { WorkerAssignment, WorkerCommand, WorkerEvent } from './messages.js';
import { ShardWriter } from './shard-writer.js';
import { STACK_FD } from './stack-answer.js';
import { StartClock } from './start-clock.js';
import { prepare, Trainer } from './trainer.js';

const STDOUT = 1;
/** When this process loaded its modules, by the machine's monotonic clock in ms. */
const LOADED_MS = monotonicMs();
const BOOTED_MS = LOADED_MS - performance.now() + performance.nodeTiming.bootstrapComplete;

/** Holds what belongs to the generation in which this process has a rank. */
interface Work {
  readonly trainer: Trainer;
  readonly transport: ShmTransport;
}

/** Null while this process holds no rank. */
let work: Work | null = null;
let isTraining = false;
let logger: Logger | undefined;
let snapshots: Pick<WorkerAssignment, 'snapshotDir' | 'snapshotHeir'> | null = null;
const writer = new ShardWriter();

function emit(event: WorkerEvent): void {
  process.send?.(event);
}

/** Sends the last event, then exits when it has been sent. */
function leave(event: WorkerEvent, code: number): void {
  if (process.send === undefined) process.exit(code);
  process.send(event, () => process.exit(code));
}

function fail(error: unknown): void {
  const { code, message, context, stack } = asTrainerError(error);
  logger?.error({ code, context, stack }, message);
  leave({ type: 'failed', code, message, context }, EXIT.failedRun);
}

function start(assignment: WorkerAssignment): void {
  const { runId: run, generation, topology, config } = assignment;
  const { node, rank } = topology;
  const clock = new StartClock(assignment.start);
  clock.end('node', BOOTED_MS);
  clock.end('modules', LOADED_MS);
  placeFailpoints({ rank, generation });
  logger = createLogger({
    level: config.logLevel,
    origin: { run, generation, node, rank },
    destination: syncDestination(STDOUT),
    mixin: () => (work === null ? {} : { step: work.trainer.step }),
  });
  const transport = new ShmTransport({
    segmentPath: assignment.segmentPath,
    generation,
    topology,
    timeoutMs: timeoutsOf(config.cluster).collectiveMs,
  });
  clock.end('rings');
  snapshots = assignment;
  work = { trainer: Trainer.create({ assignment, transport, logger, emit, clock, writer }), transport };
  clock.end('state');
  emit({ type: 'ready' });
}

async function begin({ trainer }: Work): Promise<void> {
  isTraining = true;
  try {
    const stoppedEarly = await trainer.run();
    leave({ type: 'finished', stoppedEarly }, EXIT.done);
  } catch (error) {
    const { code, message, context, stack } = asTrainerError(error);
    // After any other error nothing that this process computes is trusted.
    if (code !== 'ABORTED') throw error;
    isTraining = false;
    // The coordinator reports whose failure was the cause.
    logger?.debug({ code, context, stack }, message);
    emit({ type: 'failed', code, message, context });
    // This function's references to the trainer are gone by then.
    setImmediate(() => release().catch(fail));
  }
}

/** Gives the rank back; a rank that trains does so when its collective ends with `ABORTED`. */
async function release(): Promise<void> {
  if (work === null || isTraining) return;
  await drop(work);
  collectNow();
  emit({ type: 'released' });
  // Memories of WebAssembly are freed by the second collection, after finalizers that follow the first one in a turn of their own.
  await nextTurn();
  collectNow();
}

async function drop({ trainer, transport }: Work): Promise<void> {
  work = null;
  await trainer.release();
  transport.close();
}

/** Removes the node's snapshots when this process exits, in case the agent was killed and no other process keeps them. */
function removeWithAgent(): void {
  const agent = process.ppid;
  process.on('exit', () => {
    if (snapshots === null || process.ppid === agent) return;
    const { snapshotDir, snapshotHeir } = snapshots;
    if (snapshotDir === null || (snapshotHeir !== null && isRunning(snapshotHeir))) return;
    rmSync(snapshotDir, { recursive: true, force: true });
  });
}

collectSeldom();
keepInspectorShut();
removeWithAgent();
writer.answerForStack(STACK_FD);
process.on('disconnect', () => process.exit(EXIT.failedRun));
// An agent that ended while the modules were loading: nobody was told.
if (!process.connected) process.exit(EXIT.failedRun);
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
process.on('message', (command: WorkerCommand) => {
  try {
    if (command.type === 'prepare') prepare(command.config).catch(fail);
    else if (command.type === 'start') start(command.assignment);
    else if (command.type === 'release') release().catch(fail);
    // After an abort, commands of the generation may still be on their way.
    else if (work === null) return;
    else if (command.type === 'begin') begin(work).catch(fail);
    else if (command.type === 'failpoint') {
      armFailpoint(command.specification);
      writer.armFailpoint(command.specification);
    } else if (command.type === 'snapshot-kept') work.trainer.afterStep.snapshots.onKept(command);
    else work.trainer.afterStep.saver.onCommand(command);
  } catch (error) {
    fail(error);
  }
});
