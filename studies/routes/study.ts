import { computeOnOneThread } from '../../packages/bench/src/one-thread.js';
import { words } from '../kit/options.js';
import { type MeasurePart, measureEach } from '../kit/parts.js';
import { study } from '../kit/study.js';
import type { Figures } from './figures.js';
import { viewOf } from './report.js';

/** Number of tokens on which engines are compared, for each router's model. */
const TOKENS = 100_000;

type RoutesPart = MeasurePart<Partial<Figures>>;

const PARTS: Readonly<Record<keyof Figures, () => Promise<RoutesPart>>> = {
  recording: async () => {
    const { measureRecording } = await import('./recording.js');
    return async (place) => ({ recording: await measureRecording(place) });
  },
  choices: async () => {
    const { measureChoices } = await import('./choices.js');
    return async (place) => ({ choices: await measureChoices(place) });
  },
  agreement: async () => {
    const { measureRouters } = await import('./agreement.js');
    return async (place) => ({ agreement: await measureRouters(place, place.quick ? 1000 : TOKENS) });
  },
  traffic: async () => {
    const { measureTraffic } = await import('./traffic.js');
    return async (place) => ({ traffic: await measureTraffic(place) });
  },
  placement: async () => {
    const { measurePlacement } = await import('./placement.js');
    return async (place) => ({ placement: await measurePlacement(place) });
  },
};

const NOTHING: Figures = { recording: null, choices: null, agreement: null, traffic: null, placement: null };

export default study({
  name: 'routes',
  description:
    'what decides the choices of each router, what recording them costs, whether all engines choose alike, and what placing experts by them saves',
  quick: 'two routers, short runs and few tokens',
  options: { only: words('parts to measure; the others keep their figures') },

  async measure(place): Promise<Figures> {
    computeOnOneThread();
    let figures: Figures = { ...NOTHING, ...place.previous };
    await measureEach(place, PARTS, async (_, result) => {
      figures = { ...figures, ...result };
      await place.write(figures);
      if (isWrong(result)) place.fail();
    });
    return figures;
  },

  report: (figures) => ({ view: viewOf(figures) }),
});

/**
 * Tells whether an engine chooses differently in float32, or the bytes sent differ from those that the routes
 * imply.
 */
function isWrong({ agreement, traffic }: Partial<Figures>): boolean {
  const engines = agreement?.flatMap((router) => router.engines) ?? [];
  return (
    engines.some(({ precision, different }) => precision === 'float32' && different > 0) ||
    (traffic?.some(({ difference }) => difference > 0) ?? false)
  );
}
