// Installs TensorFlow's native library into @tensorflow/tfjs-node without install scripts.
//
// Tried in order: (1) the installed files or our cache; (2) the vendor's installer, which downloads from a
// host that some networks block; (3) the same binaries from another package, which needs only the npm
// registry.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, copyFile, cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress, createGunzip } from 'node:zlib';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const TFJS = path.join(ROOT, 'node_modules/@tensorflow/tfjs-node');
const CACHE = path.join(
  process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'),
  'locmoe/tensorflow-1.15.0',
);
const VENDOR_TIMEOUT_MS = 120_000;
const PACKAGE = {
  spec: 'tfjs-node-lambda-releases@1.6.1',
  sha512: 'D275PZpxsKenTuiPnvIE5T+D5JrT4aU9M3EDCedBQKlP0hUB7011Yzg8CAJ6MBIog9Lq90aaEair4yrBBlk61w==',
  archive: 'package/nodejs12.x-tf2.7.0.br',
};
const ADDON = 'lib/napi-v8/tfjs_binding.node';

/** True if the addon and libtensorflow load in a fresh process. */
function loads() {
  const probe = spawnSync(
    process.execPath,
    ['-e', "require('@tensorflow/tfjs-node').tensor([1]).add(1).dataSync()"],
    { cwd: ROOT, env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' }, timeout: 60_000 },
  );
  return probe.status === 0;
}

const exists = (file) =>
  access(file).then(
    () => true,
    () => false,
  );

async function copyFromCache() {
  await cp(path.join(CACHE, 'deps'), path.join(TFJS, 'deps'), { recursive: true, verbatimSymlinks: true });
  await mkdir(path.dirname(path.join(TFJS, ADDON)), { recursive: true });
  await copyFile(path.join(CACHE, ADDON), path.join(TFJS, ADDON));
}

function tryVendorInstaller() {
  const result = spawnSync(process.execPath, ['scripts/install.js'], {
    cwd: TFJS,
    timeout: VENDOR_TIMEOUT_MS,
    stdio: 'ignore',
  });
  return result.status === 0 && loads();
}

async function sha512(file) {
  const hash = createHash('sha512');
  await pipeline(createReadStream(file), hash);
  return hash.digest('base64');
}

/** Fetches the registry package, checks its pinned hash, and fills the cache with the files we need. */
async function fillCacheFromRegistry(log) {
  const tar = await import('tar');
  const work = await mkdtemp(path.join(tmpdir(), 'locmoe-tensorflow-'));
  try {
    log(`fetching ${PACKAGE.spec} (195 MB) from the npm registry`);
    execFileSync('npm', ['pack', PACKAGE.spec, '--pack-destination', work, '--silent'], {
      cwd: work,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 900_000,
    });
    const tarball = path.join(work, `${PACKAGE.spec.replace('@', '-')}.tgz`);
    const digest = await sha512(tarball);
    if (digest !== PACKAGE.sha512)
      throw new Error(
        `${PACKAGE.spec}: sha512 is ${digest}, expected ${PACKAGE.sha512}; the download is damaged or was replaced. Run the set-up again.`,
      );
    await pipeline(createReadStream(tarball), createGunzip(), tar.extract({ cwd: work }, [PACKAGE.archive]));
    log('unpacking libtensorflow');
    const inner = 'node_modules/@tensorflow/tfjs-node/';
    const unpacked = path.join(work, 'unpacked');
    await mkdir(path.join(unpacked, path.dirname(ADDON)), { recursive: true });
    await pipeline(
      createReadStream(path.join(work, PACKAGE.archive)),
      createBrotliDecompress(),
      tar.extract({
        cwd: unpacked,
        strip: 3,
        filter: (name) => name.includes(`${inner}deps/`) || name.includes('napi-v6/tfjs_binding.node'),
      }),
    );
    await rename(path.join(unpacked, 'lib/napi-v6/tfjs_binding.node'), path.join(unpacked, ADDON));
    await mkdir(path.dirname(CACHE), { recursive: true });
    const staged = `${CACHE}.${process.pid}`;
    await cp(unpacked, staged, { recursive: true, verbatimSymlinks: true });
    await rm(CACHE, { recursive: true, force: true });
    await rename(staged, CACHE);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Makes `require('@tensorflow/tfjs-node')` work; a no-op if it already does.
 * @param {(line: string) => void} log
 * @throws {Error} with one line of advice if no source provides a library that loads
 */
export async function setupTensorFlow(log) {
  if ((await exists(path.join(TFJS, ADDON))) && loads()) return log('already installed');
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    if (tryVendorInstaller()) return log("installed by the vendor's installer");
    throw new Error(
      `TensorFlow: no binaries for ${process.platform}-${process.arch} in the registry; run locmoe on linux-x64 (a container will do)`,
    );
  }
  if (!(await exists(path.join(CACHE, ADDON)))) {
    if (tryVendorInstaller()) return log("installed by the vendor's installer");
    await rm(path.join(TFJS, 'deps'), { recursive: true, force: true });
    await fillCacheFromRegistry(log);
  }
  await copyFromCache();
  if (!loads())
    throw new Error(
      `TensorFlow: the library in ${CACHE} does not load; remove that folder and run the set-up again`,
    );
  log('installed');
}
