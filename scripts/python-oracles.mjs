// What tests hold our formats, numbers and benches against: PyTorch, ONNX Runtime, the checker of ONNX and
// safetensors in Python, and OpenMPI. `install` gets them with apt-get (200 MB, 2 GB on disk, half a minute),
// which needs root on Debian and never happens unasked.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The first that has the modules is taken; the one on PATH may not be Debian's. */
const INTERPRETERS = ['python3', '/usr/bin/python3'];
/** Without libopenblas0 PyTorch multiplies matrices in plain loops. */
const PACKAGES = [
  ...['python3-torch', 'libopenblas0', 'python3-safetensors', 'python3-onnxruntime', 'python3-onnx'],
  ...['openmpi-bin', 'libopenmpi-dev', 'gcc', 'libc6-dev'],
];
const MODULES = ['torch', 'safetensors', 'onnxruntime', 'onnx'];
const INSTALL_TIMEOUT_MS = 600_000;

/**
 * A Python of this machine that has all of these modules; null if there is none.
 * @param {readonly string[]} modules
 * @returns {string | null}
 */
export function pythonWith(modules) {
  const find = `import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, ${JSON.stringify(modules)})))`;
  return INTERPRETERS.find((python) => spawnSync(python, ['-c', find]).status === 0) ?? null;
}

function hasOpenMpi() {
  return spawnSync('mpicc', ['--version']).status === 0;
}

/** Why nothing can be installed here, or null if it can. @returns {string | null} */
function whyNotInstallable() {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`;
  if (process.getuid() !== 0) return 'not root';
  if (!existsSync('/etc/debian_version')) return 'not Debian';
  return null;
}

function install() {
  if (pythonWith(MODULES) !== null && hasOpenMpi()) return;
  const reason = whyNotInstallable();
  if (reason !== null)
    throw new Error(
      `no Python with ${MODULES.join(', ')} or no mpicc here, and none can be installed: ${reason}`,
    );
  console.error(`[python] installing ${PACKAGES.join(' ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = { env, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS };
  spawnSync('apt-get', ['update', '-q'], options);
  const apt = spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...PACKAGES], options);
  if (apt.status !== 0)
    throw new Error(`apt-get could not install them: ${apt.stderr?.trim().split('\n')[0] ?? apt.error}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    install();
    console.error(`[python] ${pythonWith(MODULES)} has ${MODULES.join(', ')}`);
  } catch (error) {
    console.error(`[python] ${error.message}`);
    process.exitCode = 2;
  }
