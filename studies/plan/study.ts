import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { computeOnOneThread } from '@locmoe/bench/internal/one-thread';
import { measurePlan } from '@locmoe/bench/internal/plan/bench';
import { parseLink } from '@locmoe/bench/internal/plan/link';
import { numberFrom } from 'locmoe/internal/cli/commands/options';
import { count, SET, text } from '../kit/options.js';
import { study } from '../kit/study.js';
import { type Figures, reportOf } from './report.js';

export default study({
  name: 'plan',
  description:
    'the predictions of `locmoe plan` against real trainings on this machine, and what they say of large clusters',
  quick: 'few repetitions and short trainings',
  options: {
    config: text('<file|recipe>', 'what the trainings of the check train', 'tiny'),
    set: SET,
    calibration: text('<file>', 'check these costs instead of measuring the machine anew', ''),
    deviceFlops: count('FLOP/s of a device of the large clusters', 1e14, { parse: numberFrom(1) }),
    deviceLink: text('<rate,latency>', 'link of their nodes', '200gbps,5us'),
  },

  async measure({ options, quick, workDir, out, dataDir }): Promise<Figures> {
    computeOnOneThread();
    const { config, set, calibration, deviceFlops, deviceLink } = options;
    const device = { flopsPerS: deviceFlops, link: parseLink(deviceLink, '--device-link') };
    const { profile, figures } = await measurePlan({
      config,
      set,
      quick,
      workDir,
      out,
      dataDir,
      calibrate: false,
      ...(calibration !== '' && { calibration }),
      command: 'npm run study -- plan',
    });
    const { checks, steps, rounds } = figures!;
    // The file in docs/results is a link to the costs that ship with the planner.
    writeFileSync(path.join(out, 'plan-calibration.json'), `${JSON.stringify(profile, null, 2)}\n`);
    return {
      stepTimeErrorByLayout: Object.fromEntries(
        checks.map(({ layout, error }) => [layout, Number(error.toFixed(4))]),
      ),
      config,
      steps,
      rounds,
      checks,
      profile,
      device,
    };
  },

  report: reportOf,
});
