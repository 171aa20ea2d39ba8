// Python packages that tests compare with: PyTorch, ONNX Runtime, ONNX's checker, safetensors and gRPC's C
// core; and OpenMPI. `install` gets them with apt-get (200 MB, 2 GB on disk, half a minute), which needs root
// on Debian and is done only on request.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { aptInstall, whyNotInstallable } from './apt-install.mjs';

/** The first interpreter that has the modules is used; the one on PATH may not be Debian's. */
const INTERPRETERS = ['python3', '/usr/bin/python3'];
/** Without libopenblas0 PyTorch multiplies matrices in plain loops. */
const PACKAGES = [
  'python3-torch',
  'libopenblas0',
  'python3-safetensors',
  'python3-onnxruntime',
  'python3-onnx',
  'python3-grpcio',
  'openmpi-bin',
  'libopenmpi-dev',
  'gcc',
  'libc6-dev',
];
const MODULES = ['torch', 'safetensors', 'onnxruntime', 'onnx', 'grpc'];
const log = (line) => console.error(`[python] ${line}`);

/**
 * Finds a Python interpreter of this machine that has all of these modules; null if there is none.
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

function install() {
  if (pythonWith(MODULES) !== null && hasOpenMpi()) return;
  const reason = whyNotInstallable();
  if (reason !== null)
    throw new Error(
      `no Python with ${MODULES.join(', ')} or no mpicc here, and none can be installed: ${reason}`,
    );
  aptInstall(PACKAGES, log);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    install();
    log(`${pythonWith(MODULES)} has ${MODULES.join(', ')}`);
  } catch (error) {
    log(error.message);
    process.exitCode = 2;
  }
