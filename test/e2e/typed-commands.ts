import { NIGHTLY } from '../nightly.js';

// What documented-commands.test.ts types, and what it leaves to others.

/** A command, and what it has to print. */
export type Printing = readonly [command: string, printed: RegExp];

/** Of `locmoe logs`, where it depends on the run whether a line matches. */
export const MATCH_OR_NOT = [0, 1];

export const TRAIN = 'npx locmoe train --config tiny';
export const OWN_TEXT = `npx locmoe train --text 'notes/**/*.txt'`;
export const OWN_PROMPT: Printing = ['npx locmoe generate --checkpoint runs/RUN --prompt "Once"', /^Once/];
export const RESUME = 'npx locmoe train --resume';
export const FORK = 'npx locmoe train --resume runs/RUN/checkpoints/step-000100 --fork';
export const ONE_NODE = 'npx locmoe train --config tiny --set train.steps=200 --nodes 1 --workers-per-node 4';
export const HTTP = 'npx locmoe train --config tiny --http 127.0.0.1:9464';
export const TENSORBOARD = 'npx locmoe train --config tiny --tensorboard events';
export const STOP = 'npx locmoe stop';
export const FLIGHT = 'npx locmoe flight';
export const JQ = 'npx locmoe logs --json | jq .msg';
/** About a run that goes on. */
export const STATUS: readonly Printing[] = [
  ['npx locmoe status', /running/],
  ['npx locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
];
/** End with the run that they follow. */
export const FOLLOWING = [
  'npx locmoe logs --follow --level warn',
  `npx locmoe logs '{rank="3"} |= "NaN"' --since 5m -C 10 --follow`,
];
/** About a run that is over. No line matches where the pattern is empty: neither was the run at fault, nor long. */
export const AFTERWARDS: readonly (Printing | readonly [...Printing, codes: readonly number[]])[] = [
  ['npx locmoe logs', /node 0 rank 1 /],
  [`npx locmoe logs '{rank="3"} |= "NaN"' -C 10`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '|~ "(?i)timeout"' --level warn --rank 0`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '| json | step="120"' --run runs/RUN`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs 'sum by (rank) (rate({source="worker"}[1m]))'`, /\{rank="3"\}/],
  ['npx locmoe trace', /^trace-tiny-.*\.json: [\d,]+ events; open it at /],
  ['npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en', /^The/],
  [
    'npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en --temperature 0.7 --top-p 0.95',
    /^The/,
  ],
  [
    'echo "The state of" | npx locmoe generate --checkpoint runs/RUN --prompt - --domain en --stop "."',
    /^The state of/,
  ],
  ['npx locmoe generate --checkpoint runs/RUN --interactive --domain en', /^/],
  ['npx locmoe eval --checkpoint runs/RUN', /telecom/],
  ['npx locmoe export --checkpoint runs/RUN --to onnx --output my-onnx', /^ *onnx\/model\.onnx +[\d.]+ MB$/m],
  [
    'npx locmoe export --checkpoint runs/RUN --to huggingface --output my-model',
    /^ +model\.safetensors +[\d.]+ MB$/m,
  ],
  ['npx locmoe export --checkpoint runs/RUN --to web --output my-page', /^ +index\.html +/m],
  [
    'npx locmoe export --checkpoint runs/RUN --sub-model --domain telecom --output my-telecom',
    /^domain telecom: 2 of 8 experts in each sparse layer, /m,
  ],
];
export const CERTS = ['locmoe certs --out tls', 'locmoe certs --out deploy/kubernetes/tls'];
const STEP_TIME = /^step [\d.]+ ms, [\d,]+ tokens\/s$/m;
export const PLANS: readonly Printing[] = [
  ['npx locmoe plan --config small --nodes 4 --workers-per-node 2 --link 100gbps,5us', STEP_TIME],
  ['npx locmoe plan --config tiny --nodes 2 --workers-per-node 2 --shared-machine', STEP_TIME],
  [
    'npx locmoe plan --config small --nodes 16 --workers-per-node 2 --link 100gbps,5us --set train.globalBatch=64 --set moe.numExperts=32',
    STEP_TIME,
  ],
];
export const DOCTOR: readonly Printing[] = [['npx locmoe doctor', /^ok {4}tensorflow /m]];
export const CONFIG: readonly Printing[] = [
  ['npx locmoe config schema > locmoe.schema.json', /^$/],
  ['npx locmoe config show --config tiny', /^ {2}localityFloor: 0.1$/m],
  ['npx locmoe config docs', /^# Configuration$/m],
];
/** Serve until Ctrl-C. */
export const PAGES: readonly Printing[] = [
  ['locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --run tiny-20260102-030405', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --http 0.0.0.0:8080 --token-file tls/token', /:8080/],
  ['npx locmoe api --checkpoint runs/RUN', /:8000\/v1/],
  ['npx locmoe api --checkpoint runs/RUN --host 0.0.0.0 --token-file tls/token', /:8000\/v1/],
];
/** Take minutes, and other tests see them through with less to do; here they get as far as measuring something. */
export const BENCHES: readonly Printing[] = [
  ['npx locmoe bench routers --quick', /^hash-seed1: 30 steps$/m],
  ['npx locmoe bench step', /^tiny: 60 steps$/m],
  ['npx locmoe bench step --bill', /^tiny: 60 steps after/m],
  ['npx locmoe bench collectives --quick', /^ {2}all-to-all 16 KiB: \S+/m],
  ['npx locmoe bench plan --calibrate', /^steps of one worker$/m],
  ['npx locmoe bench plan', /^steps of one worker$/m],
];
/** Says what to install where there is no PyTorch. */
export const AGAINST_TORCH = 'npx locmoe bench step --peer torch';

export const HERE: readonly string[] = [
  ...[TRAIN, OWN_TEXT, RESUME, FORK, ONE_NODE, HTTP, TENSORBOARD, STOP, FLIGHT, JQ],
  ...[...FOLLOWING, ...CERTS, AGAINST_TORCH],
  ...[...STATUS, OWN_PROMPT, ...AFTERWARDS, ...DOCTOR, ...CONFIG, ...PLANS, ...PAGES, ...BENCHES].map(
    ([command]) => command,
  ),
];
/** What is not run here, and why. */
export const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^npx (--no-install )?locmoe$/, 'cli.test.ts types both'],
  [/^npm (run (setup|build|check|check:fast|lint)|test)$/, 'CI runs `npm test`, which is these'],
  [/^npm run format$|^npx vitest run test\/routing$/, 'CI runs the lint and the tests of all files'],
  [/^npm run proto$/, 'generated-types.test.ts holds what it writes to proto/'],
  [/^npm run docs:api$/, 'package.test.ts makes the reference'],
  [
    /^npm run docs:site$|^npx locmoe train --config docs\/model\.yaml$/,
    'site.test.ts makes the site, and trains its model',
  ],
  [/^npx locmoe config show .*my-router\.mjs$/, 'stranger-router.test.ts names a router so'],
  [
    /my-router\.mjs|^python3 -m http\.server /,
    'tutorials.test.ts follows the tutorials of documents and routers',
  ],
  [/^docker kill locmoe-node-2$|^curl .* http:\/\/127\.0\.0\.1:8080\/metrics$/, 'test/cluster/compose.ts'],
  [/^npx locmoe config docs > docs/, 'test/config/reference.test.ts holds the page to what it prints'],
  [/^npm run quickstart$/, 'set-up and build, which CI runs, then the training with which this file begins'],
  [
    /^npm run package$|^npm install .*locmoe-0\.1\.0\.tgz$/,
    'builds, which CI has done; package.test.ts packs and installs',
  ],
  [/^npx locmoe setup --corpus$/, 'package.test.ts and CI install what it installs'],
  [/^(npx )?locmoe setup --corpus large$/, 'downloads 150 MB; large-corpus.test.ts reads its kinds of files'],
  [
    /^npx locmoe train --config routers-large$/,
    'takes the large corpus; resolve.test.ts resolves every recipe',
  ],
  [
    /^npx locmoe export .*--to gguf /,
    'gguf.test.ts exports models of family mixtral, which the run here is not',
  ],
  [/^npx locmoe export .*my-(base|adapter)$/, 'published.test.ts exports both of family mixtral'],
  [/^npx locmoe train --config mixtral-tiny$/, 'mixtral.test.ts trains a smaller model of the family'],
  [
    /^npx locmoe .*\bsmollm\b/,
    'takes a model of the Hub; mixtral.test.ts and checkpoint/huggingface.test.ts do it with smaller folders',
  ],
  [/^npx locmoe train --config tiny --init /, 'init.test.ts trains so, from runs with other routers too'],
  [/^npx locmoe train --config tiny --(set model\.numDenseLayers|inherit)/, 'inherit.test.ts trains both'],
  [/^npx locmoe train --init my-telecom$/, 'sub-model.test.ts trains so'],
  [
    /^npx locmoe train --text .* --print-config/,
    'train-text.test.ts trains so, and goes on with what --print-config prints',
  ],
  [
    /^npx locmoe train --instruct |"What is the capital of Brellin\?"$/,
    'fine-tune.test.ts trains and asks so',
  ],
  [/^(npx )?locmoe data inspect /, 'data-inspect.test.ts'],
  [/^npx locmoe eval .*--(cloze|task|compare)\b/, 'eval.test.ts evaluates so, with less to do'],
  [/^npx locmoe doctor --config tiny$/, 'doctor.test.ts tries a smaller configuration so'],
  [/^npx locmoe bench step --peer torch --quick$/, 'bench-step.test.ts runs it with less to do'],
  [/^npx locmoe (train|eval) .*--routes /, 'replay.test.ts replays so'],
  [
    /^npx locmoe bench place$|^npx locmoe train .*moe\.placement=|^npx locmoe routes place /,
    'bench-place.test.ts places and trains so, with less to do',
  ],
  [
    /^npx locmoe routes |^npx locmoe eval .*--ablate|^npx locmoe train .*train\.recordRoutes/,
    'routes.test.ts records and reports so',
  ],
  [/^npx locmoe trace .*--steps /, 'trace.test.ts asks for ranges of steps'],
  [/^npm run bench:all/, 'takes hours; it is typechecked'],
  [/^npx locmoe bench routers$/, 'takes hours; bench-routers.test.ts runs it with less to do'],
  [
    /^node scripts\/(chromium|base-image)\.mjs$/,
    'installs Debian packages; CI runs it where there are containers',
  ],
  [/^packages\/bench\/peers\/install\.sh$/, 'installs Debian packages'],
  [/^npx locmoe bench kernels$/, 'bench-kernels.test.ts runs it with less to do'],
  [/^npm run study -- /, 'studies/test/e2e runs them with less to do'],
  [/^npx locmoe bench recovery$/, 'takes two hours; soak.test.ts runs a part of it'],
  [/^npx locmoe chaos /, 'chaos.test.ts injects faults into runs of its own'],
  [
    /^(locmoe (serve|node) --c|locmoe (status|logs|stop) --runs-dir|locmoe generate --checkpoint \/shared)|^export LOCMOE_TLS_DIR/,
    'test/cluster/machines.test.ts',
  ],
  [
    /^scp |^export PATH=\/opt|^locmoe setup$|^locmoe doctor$/,
    'package.test.ts installs and sets up; npx locmoe doctor is run here',
  ],
  [
    /^(sbatch|scancel) |^locmoe certs --out ~|^locmoe inspect --runs-dir runs\/JOB/,
    'test/cluster/slurm.test.ts',
  ],
  [/^mpirun |^locmoe launch /, 'test/e2e/launch.test.ts'],
  [/docker compose /, 'test/cluster/compose.ts and configuration.test.ts'],
  [/^docker (stop|kill)$/, 'named in a sentence; test/cluster/compose.ts does both'],
  [/^docker (swarm|stack|service) |^export LOCMOE_IMAGE|^export VOLUME_TYPE/, 'test/cluster/swarm.ts'],
  [/^kubectl /, 'there is no cluster; test/cluster/configuration.test.ts validates the manifests'],
  [/^logcli |^export LOKI_/, 'foreign; packages/logs/test/loki asks what it asks'],
  [/^curl http:\/\/127\.0\.0\.1:8000\/v1\//, 'api.test.ts and test/api ask the same'],
  [/^lm_eval /, 'foreign; api.test.ts and test/api ask what it asks'],
  [/^tensorboard /, 'foreign; test/metrics/tensorboard reads the files back'],
];

/** What is typed here by night alone, and what stands for it by day. */
const BY_NIGHT: ReadonlyMap<string, string> = new Map([
  [RESUME, 'resume.test.ts and recovery.test.ts go on'],
  [FLIGHT, 'stopped-worker.test.ts asks so'],
  [FORK, 'going-on.test.ts branches a run'],
  [HTTP, 'linger.test.ts asks for the metrics at a port of its own'],
  [TENSORBOARD, 'metrics.test.ts reads the events'],
  [ONE_NODE, 'the layout law has 1x2'],
  [OWN_TEXT, 'train-text.test.ts trains so'],
  [OWN_PROMPT[0], 'train-text.test.ts continues a text'],
  [AGAINST_TORCH, 'bench-step.test.ts runs it with less to do'],
  ...BENCHES.map(([command]) => [command, 'tests of each bench run it with less to do'] as const),
  ...AFTERWARDS.flatMap(([command]) =>
    /logs .*(-C|--level|step=)/.test(command) ? [[command, 'tests of the logs ask so'] as const] : [],
  ),
  ...AFTERWARDS.flatMap(([command]) =>
    /--(top-p|stop|to) /.test(command) ? [[command, 'tests of generate and export do so'] as const] : [],
  ),
  ...PLANS.slice(1).map(([command]) => [command, 'the first of them'] as const),
  ...[PAGES[1], PAGES[2], PAGES[4]].map(([command]) => [command, 'the others of them'] as const),
]);

/** The commands of a list that are typed now. */
export function now<T extends readonly [command: string, ...rest: readonly unknown[]]>(
  list: readonly T[],
): readonly T[] {
  return list.filter(([command]) => NIGHTLY || !BY_NIGHT.has(command));
}
