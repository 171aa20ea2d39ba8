import { rmSync } from 'node:fs';
import path from 'node:path';
import { PEER_PROGRAMS, type Peer, parseResults, programArguments } from './peer.js';
import { runCommand } from './run-command.js';

const INTERPRETERS = ['python3', '/usr/bin/python3'] as const;
const IMPORT_MS = 60_000;
const RUN_MS = 240_000;
const VERSION =
  'import torch; from torch.distributed import is_gloo_available; assert is_gloo_available(); print(torch.__version__)';

/** One thread per process, so that threads do not compete for cores; everything on the loopback. */
const ENVIRONMENT = {
  USE_LIBUV: '0',
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  GLOO_SOCKET_IFNAME: 'lo',
} as const;

/**
 * Gloo through PyTorch: all_to_all_single and all_reduce.
 *
 * @throws Error if no interpreter has PyTorch with Gloo
 */
export async function prepareGloo(_workDir: string, signal: AbortSignal): Promise<Peer> {
  const { python, version } = await findPython(signal);
  return {
    version: `PyTorch ${version}`,
    systems: ['Gloo'],
    measure: async (_system, numRanks, options) => {
      const store = path.resolve(options.workDir, 'gloo-store');
      rmSync(store, { force: true });
      const ended = new AbortController();
      const run = (rank: number) =>
        runCommand(python, {
          args: [
            path.join(PEER_PROGRAMS, 'collectives_gloo.py'),
            ...[String(rank), String(numRanks), store, ...programArguments(options)],
          ],
          env: ENVIRONMENT,
          deadlineMs: RUN_MS,
          signal: AbortSignal.any([options.signal, ended.signal]),
        }).catch((error) => {
          // The other ranks would wait until their timeout.
          ended.abort(error);
          throw error;
        });
      const runs = await Promise.allSettled(Array.from({ length: numRanks }, (_, rank) => run(rank)));
      rmSync(store, { force: true });
      ended.signal.throwIfAborted();
      const first = runs[0]!;
      return parseResults(first.status === 'fulfilled' ? first.value : '', 'one thread a process');
    },
  };
}

async function findPython(signal: AbortSignal): Promise<{ python: string; version: string }> {
  const errors: string[] = [];
  for (const python of INTERPRETERS)
    try {
      const version = await runCommand(python, { args: ['-c', VERSION], deadlineMs: IMPORT_MS, signal });
      return { python, version: version.trim() };
    } catch (error) {
      errors.push((error as Error).message);
    }
  signal.throwIfAborted();
  throw new Error(errors.at(-1));
}
