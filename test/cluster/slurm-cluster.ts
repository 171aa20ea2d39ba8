import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@locmoe/test-kit';
import { randomToken } from '../../src/rpc/security.js';

/** Slurm's default of 120 s would delay a requeued job by that time. */
const CREDENTIAL_S = 5;
const START_TIMEOUT_MS = 30_000;

/** The cluster is on loopback, with its own munged and slurmctld, and one slurmd for each node. */
export class SlurmCluster {
  /** Slurm's commands need this environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly #daemons = new Map<string, ChildProcess>();

  private constructor(private readonly folder: string) {
    this.env = { SLURM_CONF: path.join(folder, 'slurm.conf') };
  }

  /** @param folder for configuration, state and logs */
  static async start(folder: string, nodes: readonly string[]): Promise<SlurmCluster> {
    const cluster = new SlurmCluster(folder);
    // The path of a Unix socket has at most 108 characters.
    const munge = path.join(folder, 'munge');
    mkdirSync(munge, { mode: 0o700 });
    const file = (name: string) => path.join(munge, name);
    writeFileSync(file('key'), randomToken(), { mode: 0o600 });
    const files = ['socket', 'key-file', 'pid-file', 'log-file', 'seed-file'];
    const lines = [
      'ClusterName=test',
      `SlurmctldHost=${hostname()}(127.0.0.1)`,
      `SlurmctldPort=${await freePort()}`,
      'SlurmUser=root',
      `AuthInfo=socket=${file('socket')},cred_expire=${CREDENTIAL_S}`,
      ...[
        'StateSaveLocation=state',
        'SlurmctldPidFile=ctld.pid',
        'SlurmdPidFile=%n.pid',
        'SlurmdSpoolDir=%n',
      ].map((line) => line.replace('=', `=${folder}/`)),
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'SelectType=select/cons_tres',
      'SlurmdTimeout=10',
      // Jobs start at once.
      'SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1',
      // The test's machine has fewer processors than its nodes together.
      'SlurmdParameters=config_overrides',
    ];
    for (const name of nodes)
      lines.push(
        `NodeName=${name} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${await freePort()} CPUs=2 RealMemory=4000`,
      );
    lines.push('PartitionName=all Nodes=ALL Default=YES State=UP');
    mkdirSync(path.join(folder, 'state'));
    for (const name of nodes) mkdirSync(path.join(folder, name));
    writeFileSync(cluster.env.SLURM_CONF!, `${lines.join('\n')}\n`);
    cluster.#spawn('munged', [
      '--foreground',
      '--force',
      ...files.map((name) => `--${name}=${file(name.replace('-file', ''))}`),
    ]);
    await cluster.#until(() => readdirSync(munge).includes('socket'));
    cluster.#spawn('slurmctld', ['-D']);
    for (const name of nodes) cluster.#spawn('slurmd', ['-D', '-N', name], name);
    const numIdle = () => cluster.ask('sinfo', '--noheader', '--Node', '--states=idle').split('\n').length;
    await cluster.#until(() => numIdle() === nodes.length);
    return cluster;
  }

  /** Returns what a command of Slurm prints; an empty text while it fails. */
  ask(command: string, ...args: string[]): string {
    try {
      const env = { ...process.env, ...this.env };
      return execFileSync(command, args, {
        env,
        encoding: 'utf8',
        stdio: 'pipe',
        timeout: START_TIMEOUT_MS,
      }).trim();
    } catch {
      return '';
    }
  }

  /** Ends a node with everything on it, as the loss of its machine does. */
  kill(node: string): void {
    const daemon = this.#daemons.get(node)!;
    const tasks = pidsWith('environ', `SLURMD_NODENAME=${node}`);
    const managers = tasks.map(parentOf).filter((pid) => readProc(pid, 'comm').startsWith('slurmstepd'));
    for (const pid of new Set([daemon.pid!, ...managers, ...tasks])) process.kill(pid, 'SIGKILL');
  }

  /** Ends the jobs, then all daemons. */
  async close(): Promise<void> {
    this.ask('scancel', '--user=root');
    await this.#until(() => this.ask('squeue', '--noheader') === '');
    for (const daemon of this.#daemons.values()) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      daemon.kill('SIGTERM');
      const timer = setTimeout(() => daemon.kill('SIGKILL'), START_TIMEOUT_MS);
      await once(daemon, 'exit');
      clearTimeout(timer);
    }
  }

  #spawn(command: string, args: readonly string[], name = command): void {
    const log = openSync(path.join(this.folder, `${name}.log`), 'a');
    const env = { ...process.env, ...this.env };
    this.#daemons.set(name, spawn(command, args, { env, stdio: ['ignore', log, log] }));
  }

  async #until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!condition()) {
      if (performance.now() > deadline)
        throw new Error(`Slurm: ${condition} is not so; logs in ${this.folder}`);
      await sleep(100);
    }
  }
}

function pidsWith(file: 'environ', text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProc(pid, file).split('\0').includes(text));
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readProc(pid, 'status'))?.[1] ?? 0);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
