import { ShmTransport } from 'locmoe/internal/collectives/shm-transport';
import { topologyOf } from 'locmoe/internal/collectives/topology';
import { type FromRank, failureOf, type RankSpec } from './messages.js';

/** Runs `body` with the transport of this rank and reports its result or error; the entry point of a rank program. */
export function rankProgram<Args, Result>(
  body: (transport: ShmTransport, args: Args) => Result | Promise<Result>,
): void {
  const report = (message: FromRank) => process.send?.(message, () => process.exit());
  process.on('disconnect', () => process.exit(1));
  process.once('message', async (spec: RankSpec) => {
    try {
      const transport = new ShmTransport({
        segmentPath: spec.segmentPath,
        generation: 1,
        topology: topologyOf(spec.rank, spec.numNodes, spec.workersPerNode),
        timeoutMs: spec.timeoutMs,
      });
      report({ type: 'result', result: await body(transport, spec.args as Args) });
    } catch (error) {
      report({ type: 'error', error: failureOf(error) });
    }
  });
}
