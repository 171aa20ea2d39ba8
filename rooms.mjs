// The house, from top to bottom: a file imports from its own room and from rooms below, never from one above or beside it.
// `npm run lint` checks it with dependency-cruiser; the tree in docs/architecture.md says what each room is for. That no files import
// each other in a circle is Biome's to check (biome.json).
export const FLOORS = [
  ['studies'],
  ['packages/bench'],
  ['packages/page', 'packages/test-kit', 'packages/export', 'packages/playground'],
  ['src/library', 'src/cli'],
  ['src/local'],
  ['src/chaos'],
  ['src/coordinator'],
  ['src/coordinator/planning'],
  ['src/agent', 'src/api', 'src/evaluation'],
  ['src/metrics'],
  ['src/inference'],
  ['src/worker'],
  ['src/model'],
  ['src/run'],
  ['src/checkpoint'],
  ['src/config'],
  ['src/routing'],
  ['src/parameters'],
  ['src/ops'],
  ['src/data'],
  ['src/collectives'],
  ['src/rpc'],
  ['src/simd', 'src/os'],
  ['src/architecture'],
  ['src/*.ts'],
  ['packages/run-format'],
  ['packages/logs', 'scripts'],
];

/** Matches the files of a room; those of a room inside it, such as src/coordinator/planning, are not among them. */
function pathOf(room) {
  if (room.endsWith('/*.ts')) return `^${room.slice(0, -4)}[^/]+$`;
  const inner = FLOORS.flat().filter((other) => other.startsWith(`${room}/`));
  return `^${room}/${inner.map((other) => `(?!${other.slice(room.length + 1)}/)`).join('')}`;
}

const notUpwards = FLOORS.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: 'upwards',
    severity: 'error',
    from: { path: pathOf(room) },
    to: {
      path: FLOORS.slice(0, floor + 1)
        .flat()
        .filter((other) => other !== room)
        .map(pathOf),
    },
  })),
).filter(({ to }) => to.path.length > 0);

export default {
  forbidden: [
    ...notUpwards,
    {
      name: 'room-without-a-floor',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['local'], pathNot: FLOORS.flat().map(pathOf) },
    },
    // A package imports by path only its own files, and of another what that exports.
    {
      name: 'past-the-exports',
      severity: 'error',
      from: { path: '^(packages/[^/]+|studies)/' },
      to: { dependencyTypes: ['local'], pathNot: '^$1/' },
    },
    // What cannot be resolved cannot be checked.
    { name: 'not-found', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    // TypeScript 7 has no API from which dependency-cruiser could learn the imports.
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.json', '.d.ts'],
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'node', 'default'],
    },
  },
};
