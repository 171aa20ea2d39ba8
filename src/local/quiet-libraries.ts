// TensorFlow and grpc-js read these variables at their import, so this file is imported first.
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
process.env.GRPC_VERBOSITY ??= 'NONE';
