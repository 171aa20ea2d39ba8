// TensorFlow and grpc-js read these when they are loaded: imported before anything that loads them.
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
process.env.GRPC_VERBOSITY ??= 'NONE';
