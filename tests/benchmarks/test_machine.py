"""A machine is described without the names of hosts."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from benchmarks.machine import cpu_model, describe_machine, library_versions, matmul_tflops
from tests.benchmarks.conftest import CPU


def test_the_processor_is_named_as_linux_names_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU: 9000\nmodel name\t: another\n")
    assert cpu_model(cpuinfo) == "Some CPU: 9000"


def test_without_a_name_it_is_the_architecture(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\n")
    assert cpu_model(cpuinfo) == cpu_model(tmp_path / "none") == (platform.processor() or platform.machine())


def test_no_host_is_named() -> None:
    described = json.dumps([describe_machine(CPU), library_versions()])
    assert platform.node() not in described


def test_versions_name_the_libraries_compared() -> None:
    assert {"torch", "peft", "diffusers", "python"} == library_versions().keys()


def test_a_rate_is_positive() -> None:
    assert matmul_tflops(CPU) > 0
