// A container engine for tests. `start` uses a running one, or installs and starts Docker; `stop` ends what
// `start` started. Starting needs root on Debian and is done only on request.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { aptInstall, whyNotInstallable } from './apt-install.mjs';

const PACKAGES = ['docker.io', 'docker-cli', 'docker-compose', 'docker-buildx', 'iptables', 'debootstrap'];
/** Images and build cache; kept between starts. */
const DATA_ROOT = '/var/lib/locmoe-engine';
const RUN_DIR = '/run/locmoe-engine';
const PID_FILE = `${RUN_DIR}/dockerd.pid`;
const LOG_FILE = `${RUN_DIR}/dockerd.log`;
const SOCKET = `unix://${RUN_DIR}/docker.sock`;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;

/**
 * Finds the address of a running engine (a value for DOCKER_HOST): the caller's own engine if it answers,
 * else the one that `start` started; null if there is none.
 * @returns {string | null}
 */
export function runningEngine() {
  const own = process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock';
  return [own, SOCKET].find(answers) ?? null;
}

/**
 * Ensures that an engine is running; packages are installed only with `install`.
 * @param {(line: string) => void} log
 * @returns {Promise<string>} its address
 * @throws {Error} if no engine is available
 */
export async function startEngine(log, { install = false } = {}) {
  const running = runningEngine();
  if (running !== null) {
    log(`using the engine at ${running}`);
    return running;
  }
  const reason = whyNotInstallable();
  if (reason !== null)
    throw new Error(`no container engine answers, and none can be installed here: ${reason}`);
  if (!isInstalled()) {
    if (!install)
      throw new Error(
        `no container engine answers, and Docker is not installed: node scripts/container-engine.mjs start`,
      );
    aptInstall(PACKAGES, log);
    // Installing the package starts an engine if there is an init system.
    const packaged = runningEngine();
    if (packaged !== null) return packaged;
  }
  mkdirSync(RUN_DIR, { recursive: true });
  const output = openSync(LOG_FILE, 'w');
  const flags = ['--data-root', DATA_ROOT, '--exec-root', `${RUN_DIR}/exec`, '--pidfile', PID_FILE];
  const daemon = spawn('dockerd', [...flags, '--host', SOCKET], {
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  let ended = null;
  daemon.on('exit', (code, signal) => {
    ended = `ended with ${signal ?? `code ${code}`}`;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!answers(SOCKET)) {
    if (ended === null && Date.now() > deadline) {
      daemon.kill('SIGKILL');
      ended = `did not answer within ${START_TIMEOUT_MS / 1000} s`;
    }
    if (ended !== null) throw new Error(`dockerd ${ended}: ${lastLine(LOG_FILE)}`);
    await sleep(200);
  }
  daemon.unref();
  log(`started dockerd, pid ${daemon.pid}, at ${SOCKET}, log ${LOG_FILE}`);
  return SOCKET;
}

/** Stops the engine started by `startEngine`, in this or another process; `purge` also removes its images. */
export async function stopEngine(log, { purge = false } = {}) {
  const pid = existsSync(PID_FILE) ? Number(readFileSync(PID_FILE, 'utf8')) : 0;
  if (pid === 0 || !isDockerd(pid)) log('no engine of ours runs');
  else {
    process.kill(pid, 'SIGTERM');
    const deadline = Date.now() + STOP_TIMEOUT_MS;
    while (isDockerd(pid)) {
      if (Date.now() > deadline) throw new Error(`dockerd (pid ${pid}) did not end; its log is ${LOG_FILE}`);
      await sleep(200);
    }
    spawnSync('ip', ['link', 'delete', 'docker0'], { stdio: 'ignore' });
    log(`ended dockerd, pid ${pid}`);
  }
  for (const folder of [RUN_DIR, ...(purge ? [DATA_ROOT] : [])]) {
    unmountUnder(folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

function answers(host) {
  return spawnSync('docker', ['--host', host, 'info'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

function isInstalled() {
  return spawnSync('dpkg-query', ['--show', ...PACKAGES], { stdio: 'ignore' }).status === 0;
}

function isDockerd(pid) {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'dockerd';
  } catch {
    return false;
  }
}

function unmountUnder(folder) {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1])
    .filter((target) => target?.startsWith(`${folder}/`));
  for (const target of mounts.reverse()) spawnSync('umount', ['--lazy', target]);
}

function lastLine(file) {
  return readFileSync(file, 'utf8').trim().split('\n').at(-1);
}

async function main([command, ...flags]) {
  const log = (line) => console.error(`[engine] ${line}`);
  if (command === 'start') console.log(`export DOCKER_HOST=${await startEngine(log, { install: true })}`);
  else if (command === 'stop') await stopEngine(log, { purge: flags.includes('--purge') });
  else throw new Error(`usage: ${path.basename(process.argv[1])} start | stop [--purge]`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error(`[engine] ${error.message}`);
    process.exitCode = 2;
  }
