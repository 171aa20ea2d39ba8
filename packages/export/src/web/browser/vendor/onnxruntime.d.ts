// The build puts ONNX Runtime's own module here, as a worker has no import map.
export { env, InferenceSession, Tensor } from 'onnxruntime-web/wasm';
