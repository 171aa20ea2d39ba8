import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GRACE } from '../config/timeouts.js';
import { EXIT, TrainerError } from '../errors.js';
import { folderProblem, makeFolder, PRIVATE_FOLDER } from '../os/make-folder.js';
import { onSignals } from '../os/on-signals.js';
import { formatAddress, isLoopback, parseAddress } from '../rpc/address.js';
import { type Task, taskOf } from './launcher.js';
import { type ServeOptions, serve } from './served-run.js';

export type LaunchOptions = Omit<ServeOptions, 'isTask' | 'onAddress'>;

const CLI = fileURLToPath(new URL('./cli.js', import.meta.url));
const POLL_MS = 200;
/** Pause before a node is started in the place of a killed one. */
const RESTART_MS = 1_000;
/** A coordinator that a node started during the run does not find within this time is gone. */
const REJOIN_S = 15;
const REFUSAL_MS = 1_000;
/** Time for the first task to report how it ended after its server has closed; a killed task never does. */
const LAST_WORD_MS = 2_000;
/** Interval between two signs of life of the first task while it prepares the data. */
const BEAT_MS = 5_000;

/**
 * Takes part in a run as one task of a launcher: the first task leads the run, and each task is a node.
 *
 * @returns the exit code: that of the run, or of the first task that ended before the run
 * @throws TrainerError for errors before a run exists
 */
export async function launch(options: LaunchOptions): Promise<number> {
  const task = taskOf(process.env);
  const { nodes = task.size } = options;
  if (nodes !== task.size)
    throw new TrainerError(
      'BAD_INPUT',
      `--nodes ${nodes}: the launcher started ${task.size} tasks, and each is a node; leave the option out`,
    );
  const place = new MeetingPlace(options.runsDir, task);
  return task.rank === 0 ? lead({ ...options, nodes }, place) : takePart(options, place);
}

async function lead(options: LaunchOptions, place: MeetingPlace): Promise<number> {
  let earlier: number | null = null;
  void takePart(options, place).then((code) => {
    if (code === EXIT.done) return;
    earlier = code;
    // SIGTERM ends the coordinator whatever it is doing, as a launcher would.
    process.kill(process.pid, 'SIGTERM');
  });
  let beats = 0;
  const timer = setInterval(() => place.tell(String(++beats)), BEAT_MS).unref();
  const onAddress = (address: string) => {
    clearInterval(timer);
    place.tell(address);
  };
  try {
    const code = await serve({ ...options, isTask: true, onAddress });
    return earlier ?? code;
  } catch (error) {
    if (earlier === null) throw error;
    return earlier;
  }
}

/** Runs a node, and restarts it if it dies, until the run or a task has ended; returns the exit code. */
async function takePart(options: LaunchOptions, place: MeetingPlace): Promise<number> {
  const { joinTimeout } = options;
  let node: ChildProcess | null = null;
  let hasRestarted = false;
  let isAsked = false;
  let told = '';
  let giveUpMs = performance.now() + joinTimeout * 1000;
  // The first task's signals are for the run that it leads; before there is a node, a signal ends the task.
  const endNode = (signal: NodeJS.Signals) => {
    isAsked = true;
    node?.kill(signal);
  };
  for (; ; await sleep(POLL_MS)) {
    const { coordinator, exitCode } = place.read();
    if (exitCode !== null) {
      if (node !== null) await end(node);
      return exitCode;
    }
    if (node !== null) {
      if (isAlive(node)) continue;
      const { exitCode: code } = node;
      // The signal ends a node that is still loading its modules, which then has no exit code.
      if (isAsked) return code ?? EXIT.interrupted;
      // The options of a node that once took part are valid, so its coordinator must be gone.
      if (code === EXIT.badConfig && hasRestarted) return EXIT.failedRun;
      if (code !== null && code !== EXIT.failedRun) return code;
      hasRestarted = true;
      // If the run has failed, the first task reports it in the meantime.
      await sleep(RESTART_MS);
      if (!place.isFirst && (await isRefused(coordinator))) {
        await sleep(LAST_WORD_MS);
        return place.read().exitCode ?? EXIT.failedRun;
      }
      node = startNode(coordinator, { ...options, joinTimeout: REJOIN_S });
    } else if (coordinator.includes(':')) {
      node = startNode(coordinator, options);
      if (!place.isFirst) onSignals(endNode);
    } else if (coordinator !== told) {
      // The first task is still preparing the data.
      told = coordinator;
      giveUpMs = performance.now() + joinTimeout * 1000;
    } else if (performance.now() > giveUpMs && !place.isFirst)
      throw new TrainerError(
        'UNAVAILABLE',
        `${place.folder}: the first task has written nothing there for ${joinTimeout} s (--join-timeout); do all tasks share --runs-dir?`,
      );
  }
}

function startNode(
  coordinator: string,
  { listen, tls, tokenFile, insecure, joinTimeout, allowFaults }: LaunchOptions,
) {
  const { host } = parseAddress('--listen', listen);
  const own = formatAddress({ host: isLoopback(host) ? host : '0.0.0.0', port: 0 });
  const args = [
    'node',
    '--coordinator',
    coordinator,
    '--listen',
    own,
    '--join-timeout',
    String(joinTimeout),
    '--quiet',
    '--exit-with-parent',
    String(process.pid),
    ...(tls ? ['--tls', tls] : []),
    ...(tokenFile ? ['--token-file', tokenFile] : []),
    ...(insecure ? ['--insecure'] : []),
    ...(allowFaults ? ['--allow-faults'] : []),
  ];
  return spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Tells whether the coordinator's machine refuses the connection; a machine that is unreachable may come back. */
function isRefused(coordinator: string): Promise<boolean> {
  const { host, port } = parseAddress('--coordinator', coordinator);
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: REFUSAL_MS });
    const end = (isIt: boolean) => {
      socket.destroy();
      resolve(isIt);
    };
    socket.once('connect', () => end(false));
    socket.once('timeout', () => end(false));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code === 'ECONNREFUSED'));
  });
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

async function end(node: ChildProcess): Promise<void> {
  const deadline = performance.now() + GRACE.leaveMs;
  while (isAlive(node) && performance.now() < deadline) await sleep(POLL_MS);
  node.kill('SIGKILL');
}

/**
 * Meeting place of a launch's tasks: a folder in the runs folder, where the first task announces its
 * coordinator's address, and the first task that ends announces its exit code.
 */
class MeetingPlace {
  readonly folder: string;
  readonly isFirst: boolean;

  constructor(runsDir: string, { rank, size, job }: Task) {
    this.folder = enterLaunch(path.join(runsDir, `.launch-${job}-${size}`), rank);
    this.isFirst = rank === 0;
    process.once('exit', (code) => {
      if (this.read().exitCode === null && (code !== EXIT.done || this.isFirst))
        this.#write('end', String(code));
    });
  }

  /** @param coordinator its address or, until it has one, a changing text without a colon, as a sign of life */
  tell(coordinator: string): void {
    this.#write('coordinator', coordinator);
  }

  read(): { readonly coordinator: string; readonly exitCode: number | null } {
    // NFS looks for new files in a folder only when the folder is opened.
    const names = readdirSync(this.folder);
    const text = (name: string) =>
      names.includes(name) ? readFileSync(path.join(this.folder, name), 'utf8') : '';
    const code = text('end');
    return { coordinator: text('coordinator'), exitCode: code === '' ? null : Number(code) };
  }

  #write(name: string, text: string): void {
    const file = path.join(this.folder, name);
    const work = `${file}.${process.pid}`;
    writeFileSync(work, text);
    renameSync(work, file);
  }
}

/**
 * Returns the folder of this launch among those of its name: the newest in which this task has not taken
 * part. The files of an earlier launch, killed or not, are in another folder.
 */
function enterLaunch(parent: string, rank: number): string {
  makeFolder(parent, '--runs-dir', PRIVATE_FOLDER);
  for (let launch = Math.max(1, ...readdirSync(parent).map(Number).filter(Number.isInteger)); ; launch++) {
    const folder = path.join(parent, String(launch));
    makeFolder(folder, '--runs-dir', PRIVATE_FOLDER);
    try {
      writeFileSync(path.join(folder, `task-${rank}`), '', { flag: 'wx' });
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw folderProblem(folder, '--runs-dir', error);
    }
  }
}
