// TensorFlow for Node: the package from the registry, whose install script is not run, and its native library. In a
// checkout the package is a development dependency; elsewhere (an installed locmoe, an image) it is installed into
// tensorflow/ of this package, or of the user's cache. The library is a pinned build from a registry package, with
// which the tests run; LOCMOE_TENSORFLOW=vendor selects the vendor's own build instead.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync, realpathSync, statSync } from 'node:fs';
import { copyFile, link, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { installLocked } from './install-locked.mjs';
import { inPhase, withProgress } from './progress.mjs';
import { runNpm } from './run-npm.mjs';
import { CACHE_FOLDER, makeSetUpFolder, setUpFolder } from './set-up-folder.mjs';
import { inWorkFolder } from './work-folder.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PACKAGE = 'node_modules/@tensorflow/tfjs-node';
const ADDON = 'lib/napi-v8/tfjs_binding.node';
const REMOVED_UTIL = new URL('removed-util.mjs', import.meta.url).href;
const FETCH_TIMEOUT_MS = 1_800_000;
const PINNED = {
  version: '1.15.0',
  spec: 'tfjs-node-lambda-releases@1.6.1',
  megabytes: 195,
  sha512: 'D275PZpxsKenTuiPnvIE5T+D5JrT4aU9M3EDCedBQKlP0hUB7011Yzg8CAJ6MBIog9Lq90aaEair4yrBBlk61w==',
  archive: 'package/nodejs12.x-tf2.7.0.br',
  /** SHA-256 of the files that are loaded. */
  loaded: {
    [ADDON]: '49a5197e63982786cfff5af282d5bfefd8b55a728daa04925b031ced6d4dc0c5',
    'deps/lib/libtensorflow.so.1': '95590cd1cbe4fcd2065e17b2c797a39e2ee31b499d081aff77d3b70a93818daa',
    'deps/lib/libtensorflow_framework.so.1':
      '0217782c0ef974979ea371efa2b672622cd4486d2ec2746d24277a5f50d63e09',
  },
};
const CACHE = path.join(CACHE_FOLDER, `tensorflow-${PINNED.version}`);

/**
 * Returns the folder in whose node_modules TensorFlow is or will be installed: the checkout, or `setUpFolder`.
 * @returns {string}
 */
export function tensorFlowFolder() {
  return existsSync(path.join(ROOT, PACKAGE)) && !existsSync(path.join(ROOT, 'tensorflow/node_modules'))
    ? ROOT
    : setUpFolder('tensorflow', 'node_modules');
}

/** Whether `setupTensorFlow` has succeeded in this place; loads nothing. @returns {boolean} */
export function hasTensorFlow() {
  return existsSync(path.join(tensorFlowFolder(), PACKAGE, ADDON));
}

/**
 * Probes the library: loads it in a fresh process and multiplies two matrices.
 * @returns {{ version: string | null, isPinned: boolean, why: string, file: string }} `version` is null if it
 *   does not load, for the reason `why`; `file` is the addon
 */
export function probeTensorFlow(folder = tensorFlowFolder()) {
  const file = path.join(folder, PACKAGE, ADDON);
  if (!existsSync(file)) return { version: null, isPinned: false, why: 'not installed', file };
  const program =
    "const tf = require('@tensorflow/tfjs-node'); const [sum] = tf.tensor([[1, 2]]).matMul([[3], [4]]).dataSync();" +
    "if (sum !== 11) throw new Error('1 * 3 + 2 * 4 came out as ' + sum); console.log(tf.backend().binding.TF_Version)";
  const args = ['--import', REMOVED_UTIL, '-e', program];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', NODE_OPTIONS: '' },
    timeout: 60_000,
    encoding: 'utf8',
  });
  if (status === 0) {
    const version = stdout.trim().split('\n').at(-1);
    return { version, isPinned: version === PINNED.version, why: '', file };
  }
  const why = error?.message ?? /^\w*Error: .*/m.exec(stderr)?.[0] ?? `it ended with code ${status}`;
  return { version: null, isPinned: false, why, file };
}

/**
 * Ensures that TensorFlow loads; a no-op if the wanted build already does.
 * @param {(line: string) => void} log
 * @throws {Error} if it cannot be installed or does not load; the message says what to do
 */
export async function setupTensorFlow(log) {
  const wantsVendor = process.env.LOCMOE_TENSORFLOW === 'vendor';
  const isWanted = ({ version, isPinned }) => version !== null && isPinned !== wantsVendor;
  const folder = tensorFlowFolder();
  if (isWanted(probeTensorFlow(folder))) return log('already installed');
  if (!wantsVendor && (process.platform !== 'linux' || process.arch !== 'x64'))
    throw new Error(
      `TensorFlow: the pinned library is for linux-x64, this is ${process.platform}-${process.arch}; run locmoe ` +
        "in a container, or try the vendor's library with LOCMOE_TENSORFLOW=vendor (untested)",
    );
  const fill = wantsVendor ? runVendorInstaller : copyPinned;
  if (folder === ROOT) await fill(path.join(ROOT, PACKAGE), log);
  else await replaceModules(folder, fill, log);
  const probed = probeTensorFlow();
  if (!isWanted(probed))
    throw new Error(
      probed.version === null
        ? `TensorFlow does not load (${probed.why}); remove ${wantsVendor ? path.dirname(probed.file) : CACHE} and run the set-up again`
        : `TensorFlow: ${probed.version} was installed, which is not the one that was asked for`,
    );
  log(`installed ${probed.version}`);
}

/**
 * Installs into a work folder, then moves node_modules into place, so that an interrupted set-up leaves
 * nothing half done.
 */
async function replaceModules(folder, fill, log) {
  makeSetUpFolder('tensorflow', folder);
  await inWorkFolder(folder, async (work, interruption) => {
    for (const file of ['package.json', 'package-lock.json'])
      await copyFile(path.join(folder, file), path.join(work, file));
    await installLocked(work, "TensorFlow's packages", log, { signal: interruption });
    await fill(path.join(work, PACKAGE), log);
    const target = path.join(folder, 'node_modules');
    await rm(target, { recursive: true, force: true });
    await rename(path.join(work, 'node_modules'), target);
  });
}

async function copyPinned(packageFolder, log) {
  if (!existsSync(path.join(CACHE, ADDON))) await fillCache(log);
  else if ((await changedFile(CACHE)) !== null) {
    log(`${CACHE} is not what was unpacked there`);
    await fillCache(log);
  }
  for (const part of ['deps', 'lib']) {
    // The files are replaced, not overwritten, as a process may have the old ones mapped.
    await rm(path.join(packageFolder, part), { recursive: true, force: true });
    await linkAll(path.join(CACHE, part), path.join(packageFolder, part));
  }
  // Another process may have written to the cache since it was checked.
  const changed = await changedFile(packageFolder);
  if (changed === null) return;
  await rm(path.join(packageFolder, ADDON), { force: true });
  throw new Error(`TensorFlow: ${changed} is not the pinned one; remove ${CACHE} and run the set-up again`);
}

/**
 * Fills a folder with hard links to the files of another, or with copies where links are impossible, as
 * between file systems.
 */
async function linkAll(from, to) {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [from, to].map((folder) => path.join(folder, entry.name));
    if (entry.isDirectory()) await linkAll(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else await link(source, target).catch(() => copyFile(source, target, constants.COPYFILE_FICLONE));
  }
}

/** Returns the first loaded file that is not the pinned one; null if all are. */
async function changedFile(folder) {
  for (const [name, sha256] of Object.entries(PINNED.loaded)) {
    const file = path.join(folder, name);
    // The target of a link that leads out of the folder may change later.
    if (!existsSync(file) || !realpathSync(file).startsWith(realpathSync(folder))) return name;
    if ((await digestOf('sha256', file, 'hex')) !== sha256) return name;
  }
  return null;
}

async function runVendorInstaller(packageFolder, log) {
  log("running the vendor's installer");
  for (const part of ['deps', 'lib'])
    await rm(path.join(packageFolder, part), { recursive: true, force: true });
  const { status, stderr, error } = spawnSync(process.execPath, ['scripts/install.js'], {
    cwd: packageFolder,
    timeout: FETCH_TIMEOUT_MS,
    encoding: 'utf8',
  });
  if (status === 0) return;
  const why = error?.message ?? (/Error: .*/.exec(stderr)?.[0] || `exit code ${status}`);
  throw new Error(
    `TensorFlow: the vendor's installer failed (${why}); without LOCMOE_TENSORFLOW=vendor the pinned library comes from the npm registry`,
  );
}

/** Fetches the registry package, checks its hash, and puts the library into the cache. */
async function fillCache(log) {
  const tar = await import('tar');
  await mkdir(CACHE_FOLDER, { recursive: true });
  await inWorkFolder(CACHE_FOLDER, async (work, interruption) => {
    log(
      `fetching the library (${PINNED.spec}, ${PINNED.megabytes} MB) from the npm registry, once for this user`,
    );
    await fetchTarball(work, log, interruption);
    const tarball = path.join(work, `${PINNED.spec.replace('@', '-')}.tgz`);
    const digest = await digestOf('sha512', tarball, 'base64');
    if (digest !== PINNED.sha512)
      throw new Error(
        `TensorFlow: the sha512 of ${PINNED.spec} is ${digest}, expected ${PINNED.sha512}; the download is damaged or was replaced. Run the set-up again`,
      );
    log('unpacking the library');
    await unpack(tarball, createGunzip(), tar.extract({ cwd: work }, [PINNED.archive]), log);
    const inner = 'node_modules/@tensorflow/tfjs-node/';
    const unpacked = path.join(work, 'unpacked');
    await mkdir(path.join(unpacked, path.dirname(ADDON)), { recursive: true });
    await unpack(
      path.join(work, PINNED.archive),
      createBrotliDecompress(),
      tar.extract({
        cwd: unpacked,
        strip: 3,
        filter: (name) =>
          name.includes(`${inner}deps/`) || name.endsWith(`${inner}lib/napi-v6/tfjs_binding.node`),
      }),
      log,
    );
    await rename(path.join(unpacked, 'lib/napi-v6/tfjs_binding.node'), path.join(unpacked, ADDON));
    await rm(CACHE, { recursive: true, force: true });
    await rename(unpacked, CACHE);
  });
}

function unpack(archive, decompress, extract, log) {
  const source = createReadStream(archive);
  const { size } = statSync(archive);
  const describe = () => `${((100 * source.bytesRead) / size).toFixed(0)} % unpacked`;
  return withProgress(log, describe, () => pipeline(source, decompress, extract));
}

async function fetchTarball(work, log, signal) {
  // npm uses a separate cache here, as its own would keep the archive for good.
  const cache = path.join(work, 'npm');
  const args = ['pack', PINNED.spec, '--pack-destination', work, '--cache', cache, '--loglevel=error'];
  const options = { cwd: work, timeoutMs: FETCH_TIMEOUT_MS, megabytes: PINNED.megabytes, signal };
  const why = await runNpm(args, options, log);
  if (why !== null)
    throw new Error(
      `TensorFlow: npm could not fetch ${PINNED.spec} (${why}); check the npm registry and run the set-up again`,
    );
}

async function digestOf(algorithm, file, encoding) {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file), hash);
  return hash.digest(encoding);
}

// No top-level `await`: routers loaded by `require` may load `locmoe/routing`, and with it this module.
if (process.argv[1] === fileURLToPath(import.meta.url))
  inPhase('tensorflow', setupTensorFlow).catch((error) => {
    console.error(`set-up failed: ${error.message}`);
    process.exitCode = 2;
  });
