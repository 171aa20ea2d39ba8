import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { NIGHTLY } from '../nightly.js';
import {
  CLI,
  Locmoe,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  trainArguments,
} from './support.js';

/** The ids of `nobody`. */
const NOBODY = { uid: 65_534, gid: 65_534 };
const STRANGER = fileURLToPath(new URL('./stranger.program.mjs', import.meta.url));
const GUESSES = ['a-token-of-sixteen-characters', 'x'.repeat(43)];
/** The run trains until it is stopped, keeps snapshots in shared memory, and survives the kills of this test. */
const SETS = [
  'train.steps=100000',
  'train.checkpointEvery=20',
  'train.snapshotEvery=5',
  'cluster.maxRestarts=5',
  'cluster.collectiveTimeoutS=5',
];
/** Steps are slow; after the first restart a worker hangs once, so that it is asked for its stack. */
const HANGS_ONCE = 'step.begun:*:sleep=100,step.begun:10:sleep=60000:rank=1:generation=2';

/** Null if the way in was closed, otherwise what was found. */
type Found = string | null;

/** A program that runs as the other user. */
class OfNobody {
  readonly child: ChildProcess;
  readonly exitCode: Promise<number | null>;
  said = '';

  constructor(args: readonly string[], home: string) {
    this.child = spawn(process.execPath, args, {
      ...NOBODY,
      cwd: '/',
      env: { PATH: process.env.PATH, HOME: home },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    onTestFinished(() => void this.child.kill('SIGKILL'));
    for (const output of [this.child.stdout!, this.child.stderr!])
      output.on('data', (chunk) => {
        this.said += chunk;
      });
    this.exitCode = new Promise((resolve) => this.child.on('close', resolve));
  }

  async lines(count: number): Promise<string[]> {
    while (this.said.split('\n').length <= count && this.child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return this.said.split('\n');
  }
}

/** The port of each socket that listens, by the name that an open file of it has. */
function listeningSockets(): Map<string, number> {
  return new Map(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
      readFileSync(table, 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[3] === '0A')
        .map(([, address, , , , , , , , inode]): [string, number] => [
          `socket:[${inode}]`,
          Number.parseInt(address.split(':')[1], 16),
        ]),
    ),
  );
}

/** Ports at which a process listens. */
function portsOf(pid: number, sockets: ReadonlyMap<string, number>): number[] {
  return openFilesOf(pid).flatMap((file) => sockets.get(file) ?? []);
}

function openFilesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** Why the other user cannot even start the command; null if it can. */
function whyNot(): string | null {
  if (process.getuid?.() !== 0) return 'only root can start processes of another user';
  const { status, stderr }: SpawnSyncReturns<string> = spawnSync(process.execPath, [CLI, '--version'], {
    ...NOBODY,
    cwd: '/',
    encoding: 'utf8',
  });
  return status === 0 ? null : `uid ${NOBODY.uid} cannot run ${CLI}: ${stderr.split('\n')[0]}`;
}

it('no other user of the machine joins, stops, reads or enters a run, in twelve ways', async ({ skip }) => {
  const reason = whyNot();
  if (reason !== null) skipLoudly(skip, reason);
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  // The folder may hold the runs of several users.
  mkdirSync(path.join(folder, 'runs'));
  const home = path.join(folder, 'home');
  mkdirSync(home, { mode: 0o777 });
  const guess = path.join(home, 'token');
  writeFileSync(guess, GUESSES[0]);
  const args = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets: SETS });
  const openly = ['/bin/sh', '-c', 'umask 0; exec "$@"', 'sh', process.execPath, CLI];
  const run = new Locmoe(args, { LOCMOE_FAIL: HANGS_ONCE }, openly);

  const { address: http, headers } = await run.http();
  const [, coordinator] = await run.until(/coordinator (127\.0\.0\.1:\d+);/);
  await run.until(/checkpoint at step 20:/, 240_000);
  const runDir = newestRun(folder);
  const sockets = listeningSockets();
  const known = run.descendants().flatMap((pid) => portsOf(pid, sockets));
  const own = [coordinator, http].map((address) => Number(address.split(':')[1]));
  const dataPlane = known.filter((port) => !own.includes(port));
  expect(dataPlane).toHaveLength(2);
  const unknown = new Set<string>();
  // Until it executes its program, a new process has the sockets of its parent: a port counts at the second look.
  let seenBefore = new Set<string>();
  const watch = setInterval(() => {
    const seen = new Set<string>();
    const sockets = listeningSockets();
    for (const pid of run.descendants()) {
      const isAgent = pid !== run.child.pid && /\0node\0/.test(commandOf(pid));
      const ports = portsOf(pid, sockets).filter((port) => !own.includes(port) || pid !== run.child.pid);
      // Each node agent has one port, for its peers.
      if (ports.length > (isAgent ? 1 : 0)) seen.add(`${pid} ${commandOf(pid)}: ${ports}`);
    }
    for (const each of seen) if (seenBefore.has(each)) unknown.add(each);
    seenBefore = seen;
  }, 250);
  onTestFinished(() => clearInterval(watch));
  expect((await fetch(`http://${http}/api/runs`, { headers })).status).toBe(200);

  const ways = {
    coordinator,
    dataPlane: `127.0.0.1:${dataPlane[0]}`,
    http,
    pids: run.descendants(),
    runDir,
    guesses: GUESSES,
  };
  const stranger = new OfNobody([STRANGER, JSON.stringify(ways)], home);
  const tried = JSON.parse((await stranger.lines(1))[0]) as Record<string, Found>;
  const type = async (...words: string[]): Promise<Found> => {
    const command = new OfNobody([CLI, ...words], home);
    return (await command.exitCode) === 0 ? command.said : null;
  };
  const at = ['--coordinator', coordinator];
  const of = ['--run', runDir];
  const guessed = [...at, '--token-file', guess];
  const nodes = [
    type('node', ...guessed, '--forever', '--join-timeout', '20'),
    type('node', ...at, '--join-timeout', '20'),
  ];
  // The place of the killed agent is free for a while.
  process.kill(run.pidsOf('agent')[0]!, 'SIGKILL');
  await run.until(/^recovered: /m, 120_000);
  await run.until(/generation 2 failed: /, 240_000);
  await run.until(/recovered: [\s\S]*\nrecovered: /, 240_000);

  stranger.child.stdin!.end();
  const { join } = JSON.parse((await stranger.lines(2))[1]!) as Record<string, Found>;
  // All commands that read a run's folder would fail alike, as the stranger has already tried the folder; by day two
  // are enough.
  const command = {
    stop: (await type('stop', ...of)) ?? (await type('stop', ...at)),
    status: await type('status', ...guessed),
    inspect: NIGHTLY ? await type('inspect', ...of) : null,
    logs: NIGHTLY ? await type('logs', ...of) : null,
    chaos: NIGHTLY ? await type('chaos', ...of, '--for', '5s') : null,
    read: NIGHTLY ? await type('trace', runDir) : null,
  };
  const found: readonly (readonly [string, readonly Found[]])[] = [
    ['join in place of a killed agent', [join, ...(await Promise.all(nodes))]],
    ['stop the run', [tried.stop, command.stop]],
    ['see its status', [tried.status, command.status]],
    ['read its log', [tried.loki, tried.logs, command.logs]],
    ['open its page', [tried.page, command.inspect]],
    ['tail its log', [tried.tail]],
    ['pull from its data plane', [tried['pull from a node'], tried['fetch a snapshot']]],
    ['find a port of a debugger', [unknown.size === 0 ? null : [...unknown].join('; ')]],
    ['read its shared memory', [tried.memory]],
    ['read its folder', [tried.folder, command.read]],
    ['scrape its metrics', [tried.metrics]],
    ['harm its processes', [tried.fault, tried.signals, command.chaos]],
  ];
  const wide = found.filter(([, behind]) => behind.some((each) => each !== null));
  console.log(`${wide.length} of ${found.length} ways let the other user in`);
  expect(found.flatMap(([, behind]) => behind)).not.toContain(undefined);
  expect(wide).toEqual([]);

  // The owner needs no token on the command line.
  const status = await locmoe('status', ...of);
  expect([status.code, status.stdout]).toEqual([0, expect.stringMatching(/: running, generation 3$/m)]);
  expect((await locmoe('stop', ...of)).code).toBe(0);
  expect((await run.finished).code, run.output).toBe(130);
  await run.expectNothingLeft();
  for (const [place, mode] of [
    [runDir, 0o40700],
    [path.join(runDir, 'token'), 0o100600],
  ] as const)
    expect(statSync(place).mode.toString(8), place).toBe(mode.toString(8));
  const secret = readFileSync(path.join(runDir, 'token'), 'utf8').trim();
  const files = readdirSync(runDir, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.name !== 'token',
  );
  for (const { parentPath, name } of files)
    expect(readFileSync(path.join(parentPath, name), 'latin1').includes(secret), name).toBe(false);

  if (NIGHTLY) await expectUndisturbed(lossCurve(runDir));
}, 900_000);

/** Expects the losses of an undisturbed run. By day it is enough that no way in was found. */
async function expectUndisturbed(curve: ReadonlyMap<number, number>): Promise<void> {
  const alone = temporaryFolder();
  const twin = startTraining({ folder: alone, nodes: 2, workersPerNode: 1, sets: SETS });
  await twin.until(/checkpoint at step 20:/, 240_000);
  while (lossCurve(newestRun(alone)).size < curve.size)
    await new Promise((resolve) => setTimeout(resolve, 200));
  twin.interrupt();
  await twin.finished;
  const undisturbed = lossCurve(newestRun(alone));
  expect([...curve.keys()]).toEqual([...undisturbed.keys()].slice(0, curve.size));
  for (const [step, loss] of curve) expect(loss, `step ${step}`).toBe(undisturbed.get(step));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
