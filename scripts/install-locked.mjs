import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runNpm } from './run-npm.mjs';

const TIMEOUT_MS = 1_800_000;
/** Files of packages that nothing here reads; they are a third of all bytes. */
const UNREAD = [
  // Source maps.
  /\.map$/,
  // TensorFlow.js for browsers.
  /^@tensorflow\/tfjs(?!-node\/).*(?<!\.node)\.js$/,
  // ONNX Runtime for other systems, and for graphics processors.
  new RegExp(`^onnxruntime-node/bin/[^/]+/(?!${process.platform}(?:$|/${process.arch}))`),
  /^onnxruntime-web\/.*\.(?:jsep|asyncify|jspi)\.wasm$/,
];

/**
 * Installs node_modules from package-lock.json, without install scripts and files that nothing reads; a no-op
 * if it is up to date.
 * @param {string} folder
 * @param {string} name what is installed, for messages
 * @param {(line: string, isReplaced?: boolean) => void} log
 * @param {{ omitDev?: boolean, signal?: AbortSignal }} [options] `omitDev` leaves out development dependencies that are
 *   not there yet; `signal` ends npm
 * @throws {Error} if npm fails; the message says what to do
 */
export async function installLocked(folder, name, log, { omitDev = false, signal } = {}) {
  const stamp = path.join(folder, 'node_modules/.locmoe-lock-sha256');
  const lock = createHash('sha256')
    .update(readFileSync(path.join(folder, 'package-lock.json')))
    .digest('hex');
  const [withoutDev, present] = [`${lock} without dev`, readStamp(stamp)];
  if (present === lock || (omitDev && present === withoutDev)) return log('already installed');
  log(`installing ${name} from the npm registry`);
  // `npm ci` would first remove packages that a training in this checkout may be using.
  const command = present === withoutDev ? ['install', '--no-save'] : ['ci'];
  if (omitDev) command.push('--omit=dev');
  // npm takes a half-installed package for a whole one; only `npm ci` installs it again.
  rmSync(stamp, { force: true });
  const args = [command, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'].flat();
  const why = await runNpm(args, { cwd: folder, timeoutMs: TIMEOUT_MS, signal }, log);
  if (why !== null)
    throw new Error(
      `npm ${command[0]} in ${folder} failed (${why}); check the npm registry and run the set-up again, which goes on from there`,
    );
  removeUnread(path.join(folder, 'node_modules'));
  writeFileSync(stamp, omitDev ? withoutDev : lock);
  log('installed');
}

/**
 * Removes files that nothing reads. Does not follow links, as those of the workspaces lead out of the folder
 * and back; `readdir` with `recursive` follows them from Node 22 on.
 */
export function removeUnread(modules, folder = modules) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (UNREAD.some((pattern) => pattern.test(path.relative(modules, file))))
      rmSync(file, { recursive: true, force: true });
    else if (entry.isDirectory()) removeUnread(modules, file);
  }
}

function readStamp(stamp) {
  try {
    return readFileSync(stamp, 'utf8');
  } catch {
    return undefined;
  }
}
