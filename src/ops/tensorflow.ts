import { createRequire } from 'node:module';
// biome-ignore lint/suspicious/noTsIgnore: the error is of those who read the declaration, not of this file.
/** @ts-ignore: a project without TensorFlow's types, which this package does not depend on, gets `any` for its tensors. */
import type * as tensorflow from '@tensorflow/tfjs-node';
import '../../scripts/removed-util.mjs';
import { tensorFlowFolder } from '../../scripts/tensorflow.mjs';

let loaded: typeof tensorflow | undefined;

/**
 * TensorFlow, loaded when a member is first used: loading takes 100 MB and a second, which processes that do not compute avoid.
 * The coordinator and the planner import the routers only for their names, fields and prices. It is required, not imported: for
 * an import, Node would parse all of its files for the names that they export, which takes 0.2 s.
 */
export const tf = new Proxy({} as typeof tensorflow, {
  get(_, member: keyof typeof tensorflow) {
    loaded ??= load();
    return loaded[member];
  },
});

/**
 * Loads TensorFlow's core with the native backend. What else the package requires as it loads - layers, converters, two other
 * backends, a protocol of stored models - costs every process time and memory, and nothing here calls it.
 */
function load(): typeof tensorflow {
  const ofFolder = createRequire(`${tensorFlowFolder()}/`);
  const addon = ofFolder.resolve('@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node');
  const unused: Readonly<Record<string, object>> = {
    // A class that is extended, and a function that is called, when the package is loaded.
    '@tensorflow/tfjs-layers': { CustomCallback: Object, registerCallbackConstructor: () => undefined },
    '@tensorflow/tfjs-converter': {},
    '@tensorflow/tfjs-data': {},
    '@tensorflow/tfjs-backend-cpu': {},
    '@tensorflow/tfjs-backend-webgl': {},
    '@tensorflow/tfjs-node/dist/proto/api_pb.js': {},
    '@mapbox/node-pre-gyp': { find: () => addon },
  };
  const { cache, resolve } = createRequire(ofFolder.resolve('@tensorflow/tfjs-node'));
  const stands = Object.entries(unused).flatMap(([name, exports]) => {
    const file = resolve(name);
    return cache[file] === undefined ? [[file, { exports, loaded: true }] as const] : [];
  });
  Object.assign(cache, Object.fromEntries(stands));
  try {
    return ofFolder('@tensorflow/tfjs-node');
  } finally {
    for (const [file] of stands) delete cache[file];
  }
}

/** The types, under the same name. */
export declare namespace tf {
  export type Tensor = tensorflow.Tensor;
  export type Scalar = tensorflow.Scalar;
  export type Tensor1D = tensorflow.Tensor1D;
  export type Tensor2D = tensorflow.Tensor2D;
  export type Tensor3D = tensorflow.Tensor3D;
  export type Variable = tensorflow.Variable;
}
