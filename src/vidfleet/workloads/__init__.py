"""What runs on a video: an unmodified script, any program, or a class that stays loaded."""

from vidfleet.workloads.base import Description, Workload
from vidfleet.workloads.command import Command
from vidfleet.workloads.python_class import BUILT_IN, PythonClass
from vidfleet.workloads.script import Script

__all__ = ["BUILT_IN", "Command", "Description", "PythonClass", "Script", "Workload"]
