import { measureCollectives } from '@locmoe/bench/internal/collectives/bench';
import { computeOnOneThread } from '@locmoe/bench/internal/one-thread';
import { words } from '../kit/options.js';
import { study } from '../kit/study.js';
import { type Figures, figuresOf } from './figures.js';
import { reportOf } from './report.js';

export default study({
  name: 'collectives',
  description:
    'all-to-all and all-reduce between real processes, against OpenMPI and Gloo, and against what a socket can do',
  quick: 'fewer layouts, sizes and repetitions',
  options: {
    only: words(
      'parts (layouts, hierarchical, streams, overlap), layouts (2x2), collectives, sizes in bytes and peers (openmpi, gloo)',
    ),
  },
  isPart: ({ only }) => only.length > 0,

  async measure({ options: { only }, quick, workDir, out }): Promise<Figures> {
    computeOnOneThread();
    return figuresOf(await measureCollectives({ only, quick, peers: true, workDir, out }));
  },

  report: reportOf,
});
