// Builds a base image for the Dockerfile from Debian packages and the local Node, for machines without access to an
// image registry: `docker build --build-arg BASE_IMAGE=locmoe-base:node26`. Needs root on Debian and debootstrap.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SUITE = 'trixie';
/** A minimal Debian lacks this library, which official builds of Node link to from version 26 on. */
const LIBRARIES = 'libatomic1';
const TIMEOUT_MS = 300_000;

/** Tag of the image, by major version of the local Node. */
export const BASE_IMAGE = `locmoe-base:node${process.versions.node.split('.')[0]}`;

/**
 * Makes BASE_IMAGE unless the engine has it.
 * @param {(line: string) => void} log
 * @returns {string} its tag
 * @throws {Error} if a command fails
 */
export function makeBaseImage(log) {
  if (spawnSync('docker', ['image', 'inspect', BASE_IMAGE], { stdio: 'ignore' }).status === 0)
    return BASE_IMAGE;
  log(`making ${BASE_IMAGE} from Debian ${SUITE} and Node ${process.versions.node}`);
  const work = mkdtempSync(path.join(tmpdir(), 'locmoe-base-'));
  const root = path.join(work, 'root');
  try {
    run('debootstrap', ['--variant=minbase', `--include=${LIBRARIES}`, SUITE, root]);
    copyNode(root);
    for (const dropped of ['var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man'])
      rmSync(path.join(root, dropped), { recursive: true, force: true });
    const archive = path.join(work, 'root.tar');
    run('tar', ['--create', '--file', archive, '--directory', root, '.']);
    run('docker', ['import', archive, BASE_IMAGE]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return BASE_IMAGE;
}

function copyNode(root) {
  cpSync(realpathSync(process.execPath), path.join(root, 'usr/local/bin/node'));
  const npm = path.resolve(realpathSync(run('sh', ['-c', 'command -v npm']).trim()), '../..');
  cpSync(npm, path.join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  for (const command of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${command}-cli.js`, path.join(root, 'usr/local/bin', command));
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    maxBuffer: 64 << 20,
  });
  if (status !== 0)
    throw new Error(`${command} failed: ${error?.message ?? (stderr || stdout).trim().split('\n').at(-1)}`);
  return stdout;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    console.log(makeBaseImage((line) => console.error(`[base image] ${line}`)));
  } catch (error) {
    console.error(`[base image] ${error.message}`);
    process.exitCode = 2;
  }
