"""Find the packages of every floor, which pyproject.toml cannot: each lies in a folder of its own at the root."""

from setuptools import find_packages, setup

FLOORS = ("runtime", "benchmark", "builders", "eval", "leaderboard")

setup(
    packages=[
        *find_packages("src"),
        *(f"conceptbench.{floor}" for floor in FLOORS),
        *(f"conceptbench.{floor}.{package}" for floor in FLOORS for package in find_packages(floor)),
    ]
)
