// oneDNN, which computes the heavy operations of a training faster than TensorFlow alone (`bench kernels`).
// The system's library is used if there is one; on Debian and Ubuntu its package is otherwise fetched and
// unpacked into onednn/ of this package, or of the user's cache, without root. oneDNN is optional.
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { withProgress } from './progress.mjs';
import { makeSetUpFolder, setUpFolder } from './set-up-folder.mjs';

const MULTIARCH = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? '';
const SYSTEM_FOLDERS = [`/usr/lib/${MULTIARCH}`, '/usr/lib64', '/usr/lib', '/usr/local/lib'];
const LIBRARY = /^libdnnl\.so\.3(\.\d+)*$/;
const THREADS = 'libgomp.so.1';
/** Folder into which `setupOneDnn` puts the library and the threading library that it needs. */
const OWN_FOLDER = setUpFolder('onednn', THREADS);
const TIMEOUT_MS = 300_000;

/**
 * Finds the library: LOCMOE_ONEDNN, the one that `setupOneDnn` fetched, or the system's.
 * @returns {string | null} its path
 */
export function findOneDnn() {
  if (process.env.LOCMOE_ONEDNN) return process.env.LOCMOE_ONEDNN;
  for (const folder of [OWN_FOLDER, ...SYSTEM_FOLDERS]) {
    const file = existsSync(folder) ? readdirSync(folder).find((name) => LIBRARY.test(name)) : undefined;
    if (file !== undefined) return path.join(folder, file);
  }
  return null;
}

/**
 * Finds the threading library that was fetched with oneDNN and must be loaded first.
 *
 * @returns {string | null} its path
 */
export function findThreads() {
  const file = path.join(OWN_FOLDER, THREADS);
  return existsSync(file) ? file : null;
}

/**
 * Fetches the library if there is none. Logs the reason if it cannot; never throws.
 * @param {(line: string) => void} log
 */
export async function setupOneDnn(log) {
  const found = findOneDnn();
  if (found !== null) return log(`found: ${found}`);
  try {
    await fetchOneDnn(log);
    log(`installed: ${findOneDnn()}`);
  } catch (error) {
    log(`not installed: ${error.message}; TensorFlow computes instead, which is slower`);
  }
}

/**
 * Fetches the library into its folder, whether or not the system has one.
 * @param {(line: string) => void} log
 * @throws {Error} if the library cannot be fetched
 */
export async function fetchOneDnn(log) {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-onednn-'));
  try {
    await fetchInto(folder, log);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function fetchInto(folder, log) {
  const name = await packageName(log);
  log(`fetching ${name} with apt-get download (7 MB)`);
  await run('apt-get', ['download', '-q', name, 'libgomp1'], folder, log);
  const unpacked = path.join(folder, 'unpacked');
  for (const file of readdirSync(folder).filter((each) => each.endsWith('.deb')))
    await run('dpkg-deb', ['-x', file, unpacked], folder, log);
  const libraries = path.join(unpacked, 'usr/lib', MULTIARCH);
  makeSetUpFolder('onednn', OWN_FOLDER);
  const files = readdirSync(libraries, { withFileTypes: true });
  const wanted = files.filter((file) => file.name === THREADS || (file.isFile() && LIBRARY.test(file.name)));
  for (const { name } of wanted.sort((a, b) => a.name.localeCompare(b.name)).reverse()) {
    // Each file appears complete or not at all, the library last, as it marks a finished set-up.
    copyFileSync(path.join(libraries, name), path.join(OWN_FOLDER, `${name}.part`));
    renameSync(path.join(OWN_FOLDER, `${name}.part`), path.join(OWN_FOLDER, name));
  }
}

/** Returns the name of the newest package of version 3. @throws {Error} if this system's package sources have none */
async function packageName(log) {
  const find = async () =>
    (await run('apt-cache', ['pkgnames', 'libdnnl'], '/', log))
      .split('\n')
      .filter((line) => /^libdnnl3[\d.]*$/.test(line))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .at(-1);
  let name = await find();
  if (name === undefined) {
    await run('apt-get', ['update', '-q'], '/', log);
    name = await find();
  }
  if (name === undefined) throw new Error('no package libdnnl3 in the sources of apt');
  return name;
}

async function run(command, args, cwd, log) {
  const options = { cwd, timeout: TIMEOUT_MS, env: { ...process.env, LC_ALL: 'C' } };
  try {
    const end = () => promisify(execFile)(command, args, options);
    return (await withProgress(log, () => `${command} ${args[0]}`, end)).stdout;
  } catch (error) {
    if (error.code === 'ENOENT') throw new Error('no apt-get here: install oneDNN 3 (libdnnl) yourself');
    const why =
      /^E: .*/m.exec(error.stderr)?.[0] ?? (error.killed ? 'it took too long' : `code ${error.code}`);
    throw new Error(`${command} ${args[0]} failed: ${why}`);
  }
}
