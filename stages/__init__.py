"""The stages of dvc.yaml, one file each under the same name: params in, oft called, outs and metrics out."""
