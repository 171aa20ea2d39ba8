import { computeOnOneThread } from '../../packages/bench/src/one-thread.js';
import { words } from '../kit/options.js';
import { measureEach } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { type DoorPart, FIGURES, type Figures } from './figures.js';

const PARTS: Readonly<Record<string, () => Promise<DoorPart>>> = {
  prepare: async () => (await import('./prepare.js')).preparePart,
  generate: async () => (await import('./generate.js')).generatePart,
  api: async () => (await import('./api.js')).apiPart,
  onnx: async () => (await import('./onnx.js')).onnxPart,
  web: async () => (await import('./web.js')).webPart,
  package: async () => (await import('./package.js')).packagePart,
};

const NOTHING = {
  ...(Object.fromEntries(FIGURES.map((figure) => [figure, null])) as Record<(typeof FIGURES)[number], null>),
  commands: {},
  notes: {},
};

/** @param parts stand in for those of the study in its test */
export const doors = (parts = PARTS) =>
  study({
    name: 'doors',
    description:
      'the ways in and out: own text prepared, text generated and served, models exported, the package installed',
    quick: 'small texts and few repetitions',
    options: { only: words('parts to measure; the others keep their figures') },

    async measure(place): Promise<Figures> {
      computeOnOneThread();
      let figures: Figures = NOTHING;
      if (place.previous !== null) {
        const { machine: _machine, command: _command, ...before } = place.previous;
        figures = before;
      }
      await measureEach(place, parts, async (name, result) => {
        const command = `npm run study -- doors --only ${name}${place.quick ? ' --quick' : ''}`;
        const measured = Object.entries(result.figures);
        figures = {
          ...figures,
          // More than four digits would be noise.
          ...Object.fromEntries(measured.map(([figure, value]) => [figure, Number(value.toPrecision(4))])),
          commands: {
            ...figures.commands,
            ...Object.fromEntries(measured.map(([figure]) => [figure, command])),
          },
          notes: { ...figures.notes, [name]: result.notes },
        };
        await place.write(figures);
      });
      return figures;
    },

    report: ({ commands, notes, ...figures }) => ({
      view: {
        ...Object.fromEntries(
          FIGURES.map((figure) => [
            figure,
            figures[figure] === null ? null : { value: figures[figure], command: commands[figure]! },
          ]),
        ),
        notes: Object.entries(notes).map(([part, text]) => ({ part, text })),
      },
    }),
  });

export default doors();
