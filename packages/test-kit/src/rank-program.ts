import { ShmTransport } from 'locmoe/collectives/shm-transport';
import { topologyOf } from 'locmoe/collectives/topology';
import { type FromRank, failureOf, type RankSpec } from './messages.js';

/** The body of a rank program: runs `body` with this rank's transport and reports what it returns or throws. */
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
