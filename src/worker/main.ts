// A worker process: receives its assignment from the node agent, trains, and reports. Started by agent/worker-pool.ts.
import { rmSync } from 'node:fs';
import { ShmTransport } from '../collectives/shm-transport.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, EXIT } from '../errors.js';
import { armFailpoint, placeFailpoints } from '../failpoint.js';
import { collectSeldom } from '../garbage-collection.js';
import { createLogger, type Logger, syncDestination } from '../logger.js';
import { monotonicMs } from '../os/monotonic-clock.js';
import { keepInspectorShut } from '../os/on-signals.js';
import type { WorkerAssignment, WorkerCommand, WorkerEvent } from './messages.js';
import { STACK_FD } from './stack-answer.js';
import { StartClock } from './start-clock.js';
import { Trainer } from './trainer.js';

const STDOUT = 1;
/** When this process loaded its modules, by the machine's monotonic clock in ms. */
const LOADED_MS = monotonicMs();
const BOOTED_MS = LOADED_MS - performance.now() + performance.nodeTiming.bootstrapComplete;

let trainer: Trainer | undefined;
let logger: Logger | undefined;

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
  // A rank that is only aborted logs no error: the coordinator reports whose failure was the cause.
  logger?.[code === 'ABORTED' ? 'debug' : 'error']({ code, context, stack }, message);
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
    mixin: () => (trainer === undefined ? {} : { step: trainer.step }),
  });
  const transport = new ShmTransport({
    segmentPath: assignment.segmentPath,
    generation,
    topology,
    timeoutMs: timeoutsOf(config.cluster).collectiveMs,
  });
  clock.end('rings');
  removeWithAgent(assignment.snapshotDir);
  trainer = Trainer.create({ assignment, transport, logger, emit, clock });
  trainer.writer.answerForStack(STACK_FD);
  clock.end('state');
  emit({ type: 'ready' });
}

/** Removes the node's snapshots when this process exits, in case the agent was killed and could not. */
function removeWithAgent(snapshotDir: string | null): void {
  const agent = process.ppid;
  process.on('exit', () => {
    if (snapshotDir !== null && process.ppid !== agent) rmSync(snapshotDir, { recursive: true, force: true });
  });
}

async function begin(): Promise<void> {
  const stoppedEarly = await trainer!.run();
  leave({ type: 'finished', stoppedEarly }, EXIT.done);
}

collectSeldom();
keepInspectorShut();
process.on('disconnect', () => process.exit(EXIT.failedRun));
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
process.on('message', (command: WorkerCommand) => {
  try {
    if (command.type === 'start') start(command.assignment);
    else if (command.type === 'begin') begin().catch(fail);
    else if (command.type === 'failpoint') {
      armFailpoint(command.specification);
      trainer?.writer.armFailpoint(command.specification);
    } else if (command.type === 'snapshot-kept') trainer!.snapshots.onKept(command);
    else trainer!.saver.onCommand(command);
  } catch (error) {
    fail(error);
  }
});
