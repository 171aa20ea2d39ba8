import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism, cpus, totalmem } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findThreads } from '../../../scripts/onednn.mjs';
import { hasTensorFlow, probeTensorFlow } from '../../../scripts/tensorflow.mjs';
import { findWebGpu } from '../../../scripts/webgpu.mjs';
import { SHM_DIR } from '../../collectives/segment-files.js';
import { CORPUS_DIR } from '../../data/built-in/corpora.js';
import { LEAST_OPEN_FILES } from '../../errors.js';
import { formatCount } from '../../format.js';
import { isSupportedNode } from '../../local/set-up.js';
import { oneDnnPath, webGpuPath } from '../../ops/kernels/choose-kernels.js';
import { loadOneDnn } from '../../ops/kernels/onednn/library.js';
import { probeDevice } from '../../ops/kernels/webgpu/device-probe.js';
import { locmoeCommand } from '../../os/command-line.js';
import { mapShared, reserve, unmap } from '../../os/libc.js';
import { processorFlags } from '../../os/processor.js';
import { isPackageInstalled } from '../packages.js';

/** Result of a check. `note`: something optional is missing; `bad`: `locmoe train` cannot work. */
export interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'bad';
  readonly found: string;
  /** Advice; absent if all is well. */
  readonly advice?: string;
}

type Found = Omit<Finding, 'name'>;

const MB = 1e6;
const GB = 1e9;
/** Memory of TensorFlow and the JavaScript around it, for two workers, the fewest that can exchange data. */
const LEAST_MEMORY = 1 * GB;
/** Shared memory of two nodes of two ranks each, with the default `cluster.ringBytes`. */
const LEAST_SHARED_MEMORY = 44 * MB;
const LEAST_DISK = 0.5 * GB;
/** Slewing does not shift the clock by more than this during the check. */
const MOST_DRIFT_MS = 20;
const PROBE_BYTES = 1 << 20;

/** Checks by name, in the order of output. */
const CHECKS: Readonly<Record<string, () => Found | Promise<Found>>> = {
  node: () =>
    isSupportedNode() ? ok(process.versions.node) : bad(process.versions.node, 'use Node 20 or later'),
  tensorflow: tensorFlow,
  onednn: oneDnn,
  processor,
  'graphics card': graphicsCard,
  cores,
  memory,
  'shared memory': sharedMemory,
  'open files': openFiles,
  disk,
  clock,
  ports,
  page: () => ownPackage('@locmoe/page', 'the page of runs'),
  bench: () => ownPackage('@locmoe/bench', '`locmoe bench` and `locmoe plan`'),
  export: () => ownPackage('@locmoe/export', '`locmoe export`'),
  corpus: () =>
    existsSync(path.join(CORPUS_DIR, 'node_modules'))
      ? ok('installed')
      : note('not installed', `to train on the built-in domains: ${locmoeCommand(['setup', '--corpus'])}`),
  'python, torch': torch,
};

/** Checks this machine; every check ends within a minute. */
export async function* findings(): AsyncGenerator<Finding> {
  for (const [name, check] of Object.entries(CHECKS)) {
    const found = await Promise.resolve()
      .then(check)
      .catch((error: Error) => bad(error.message, 'see the message'));
    yield { name, ...found };
  }
}

function ok(found: string): Found {
  return { state: 'ok', found };
}

function note(found: string, advice: string): Found {
  return { state: 'note', found, advice };
}

function bad(found: string, advice: string): Found {
  return { state: 'bad', found, advice };
}

function tensorFlow(): Found {
  if (!hasTensorFlow())
    return note(
      'not here yet: the first training fetches it (0.3 GB)',
      `or fetch it now: ${locmoeCommand(['setup'])}`,
    );
  const { version, why, file, isPinned } = probeTensorFlow();
  if (version === null)
    return bad(
      `${why} (Node ${process.versions.node})`,
      `run ${locmoeCommand(['setup'])}; it is tested on Node 20, 22, 24 and 26`,
    );
  const found = `${version} computes, ${file}`;
  return isPinned
    ? ok(found)
    : note(found, `not the library that the tests run on, which this installs: ${locmoeCommand(['setup'])}`);
}

function oneDnn(): Found {
  let path: string | null;
  try {
    path = oneDnnPath();
  } catch (error) {
    return bad((error as Error).message, 'unset LOCMOE_KERNELS and LOCMOE_ONEDNN, or correct them');
  }
  if (process.env.LOCMOE_KERNELS === 'tensorflow') return ok('not used: LOCMOE_KERNELS says tensorflow');
  if (path === null)
    return note(
      'not installed: TensorFlow computes',
      `steps are faster with it: ${locmoeCommand(['setup'])}`,
    );
  return ok(`${loadOneDnn(path, findThreads()).version}, ${path}`);
}

function processor(): Found {
  const flags = processorFlags();
  const features = { avx2: 'avx2', avx512: 'avx512f', bf16: 'avx512_bf16', amx: 'amx_bf16' };
  const has = Object.entries(features).map(([name, flag]) => `${name} ${flags.has(flag) ? 'yes' : 'no'}`);
  const found = [cpus()[0]?.model ?? process.arch, ...has].join(', ');
  return flags.has('avx') ? ok(found) : bad(found, 'TensorFlow needs a processor with AVX');
}

function graphicsCard(): Found {
  if (findWebGpu() === null)
    return note('not used', `to compute on one (train.device): ${locmoeCommand(['setup', '--webgpu'])}`);
  try {
    const { description, tensorBytes, flopsPerS } = probeDevice(webGpuPath());
    if (flopsPerS === null)
      return note(description, 'it is no card, but computes on the processor: leave it to tests');
    const speed = `products ${formatCount(flopsPerS / 1e9)} GFLOP/s in float32`;
    return ok(`${description}, ${speed}, tensors up to ${gigabytes(tensorBytes)}`);
  } catch (error) {
    return note((error as Error).message, 'training needs no card');
  }
}

function cores(): Found {
  const count = availableParallelism();
  const found = `${count}; as many workers in all compute at once`;
  return count > 1 ? ok(found) : note(found, 'a second core lets two workers compute at once');
}

function memory(): Found {
  const available =
    1024 * Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]);
  const limit = process.constrainedMemory?.() ?? 0;
  const isLimited = limit > 0 && limit < totalmem();
  const found =
    `${gigabytes(available)} available of ${gigabytes(totalmem())}` +
    (isLimited ? `, this container may use ${gigabytes(limit)}` : '');
  return Math.min(available, isLimited ? limit : available) >= LEAST_MEMORY
    ? ok(found)
    : bad(found, `give it ${gigabytes(LEAST_MEMORY)} or more`);
}

/** Maps a file twice, as an agent and its worker do, and reads through one mapping what the other wrote. */
function sharedMemory(): Found {
  const advice = 'in a container: --shm-size 1g (docker), shm_size: 1g (compose)';
  const { bavail, bsize, blocks } = statfsSync(SHM_DIR);
  const found = `${gigabytes(bavail * bsize)} free of ${gigabytes(blocks * bsize)} in ${SHM_DIR}`;
  const file = path.join(SHM_DIR, `locmoe-doctor-${process.pid}`);
  const fd = openSync(file, 'wx+', 0o600);
  try {
    ftruncateSync(fd, PROBE_BYTES);
    const errno = reserve(fd, PROBE_BYTES);
    if (errno !== 0) {
      closeSync(fd);
      return bad(`${found}; ${PROBE_BYTES} bytes cannot be reserved (errno ${errno})`, advice);
    }
    const reader = mapShared(openSync(file, 'r+'), PROBE_BYTES);
    const writer = mapShared(fd, PROBE_BYTES);
    new Int32Array(writer.buffer)[1] = process.pid;
    const read = new Int32Array(reader.buffer)[1];
    unmap(writer);
    unmap(reader);
    if (read !== process.pid)
      return bad(`${found}; two mappings differ`, 'use a Linux kernel, not an emulation');
  } finally {
    rmSync(file, { force: true });
  }
  return bavail * bsize >= LEAST_SHARED_MEMORY ? ok(`${found}, maps`) : bad(found, advice);
}

function openFiles(): Found {
  const limit = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 'unknown';
  return limit === 'unlimited' || Number(limit) >= LEAST_OPEN_FILES
    ? ok(limit)
    : bad(limit, `raise the limit: ulimit -n ${LEAST_OPEN_FILES}`);
}

function disk(): Found {
  const { bavail, bsize } = statfsSync('.');
  const found = `${gigabytes(bavail * bsize)} free in ${process.cwd()}`;
  return bavail * bsize >= LEAST_DISK ? ok(found) : bad(found, 'runs/ and data/ are made here: make room');
}

/**
 * The wall clock's milliseconds over the monotonic clock's. Other processes may hold this one up between two readings, so
 * that of several pairs the one read in the shortest time counts.
 */
function clockOffset(): number {
  const readings = Array.from({ length: 10 }, () => {
    const [before, wall, after] = [performance.now(), Date.now(), performance.now()];
    return { offset: wall - (before + after) / 2, width: after - before };
  });
  return readings.reduce((best, reading) => (reading.width < best.width ? reading : best)).offset;
}

export async function clock(): Promise<Found> {
  const drifts: number[] = [];
  for (let window = 0; window < 3; window++) {
    const offset = clockOffset();
    await sleep(70);
    drifts.push(clockOffset() - offset);
  }
  // A clock that was set once, as at boot, does no harm: the median tells whether something goes on setting it.
  const drift = drifts.toSorted((a, b) => a - b)[1] ?? 0;
  const found = `wall and monotonic clock differ by ${drift.toFixed(1)} ms in 70 ms`;
  return Math.abs(drift) <= MOST_DRIFT_MS
    ? ok(`${found}; the offset to other machines cannot be seen from one (logs are ordered by time: run NTP)`)
    : bad(found, 'something sets the clock: let NTP slew it');
}

function ports(): Promise<Found> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.end('locmoe'));
    const end = (found: Found) => {
      server.close();
      resolve(found);
    };
    const refused = ({ message }: Error) =>
      end(bad(message, 'nodes talk over TCP on 127.0.0.1: let processes listen and connect there'));
    server.on('error', refused);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      const socket = connect(port, '127.0.0.1');
      socket.setTimeout(5_000, () => socket.destroy(new Error('no answer on 127.0.0.1 within 5 s')));
      socket.on('error', refused);
      socket.on('data', () => end(ok('can listen and connect on 127.0.0.1')));
    });
  });
}

function ownPackage(name: string, what: string): Found {
  return isPackageInstalled(name)
    ? ok('installed')
    : note('not installed', `without ${name} there is no ${what}`);
}

function torch(): Found {
  const options = { encoding: 'utf8', timeout: 30_000 } as const;
  const { status, stdout } = spawnSync('python3', ['-c', 'import torch; print(torch.__version__)'], options);
  return status === 0
    ? ok(`PyTorch ${stdout.trim()}`)
    : note('no PyTorch', 'only `locmoe bench step --peer torch` compares with it');
}

function gigabytes(bytes: number): string {
  return bytes < GB ? `${formatCount(bytes / MB)} MB` : `${(bytes / GB).toFixed(1)} GB`;
}
