// Original file: proto/coordinator.proto


export interface StatusRequestInput {
}

export interface StatusRequest {
}
