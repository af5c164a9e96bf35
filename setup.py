"""The extension modules and their compiler flags. Everything else is in pyproject.toml.

The engine is compiled once per instruction set from the same source; which one runs is decided
at import (``cmlp._core``). A compiler that rejects a variant's flags leaves that variant out.
Environment: ``CMLP_DEBUG=1`` builds with every check of Cython on and without optimisation,
``CMLP_VARIANTS=baseline,avx2`` builds only the variants named,
``CMLP_SANITIZE=address`` (or ``thread``) builds for a sanitizer of gcc or clang,
``CMLP_COVERAGE=1`` builds for gcov, with the lines of the Cython sources,
``CMLP_WERROR=1`` takes every warning of gcc or clang for an error; ``CC`` is the compiler,
``CMLP_TESTING=1`` builds beside each engine what only the tests call (an editable install does
so anyway, unless it is 0); no release has it.
"""

import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = Path("src/cmlp/_core")
DEBUG = os.environ.get("CMLP_DEBUG", "0") not in ("", "0")
SANITIZE = os.environ.get("CMLP_SANITIZE", "")
COVERAGE = os.environ.get("CMLP_COVERAGE", "0") not in ("", "0")
WERROR = os.environ.get("CMLP_WERROR", "0") not in ("", "0")
EDITABLE = {"editable_wheel", "develop"} & set(sys.argv)
TESTING = os.environ.get("CMLP_TESTING", "1" if EDITABLE else "0") not in ("", "0")
X86 = platform.machine().lower() in ("x86_64", "amd64")

# Flags per compiler family: unix means gcc and clang. No -march=native, no -ffast-math: a build
# runs on every machine of its architecture and leaves the process's floating-point state alone.
COMMON = {
    "unix": ["-O0", "-g", "-pthread"]
    if DEBUG
    else [
        "-O3",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=fast",
        "-fvisibility=hidden",
        "-g0",
        "-pthread",
    ],
    "msvc": ["/Od"] if DEBUG else ["/O2"],
}
SANITIZERS = {
    "": [],
    "address": [
        "-fsanitize=address,undefined,float-cast-overflow",
        "-fno-sanitize-recover=all",
        "-fno-wrapv",  # Python is built with -fwrapv: signed overflow would be no error
        "-fno-omit-frame-pointer",
    ],
    "thread": ["-fsanitize=thread", "-fno-omit-frame-pointer"],
}
if SANITIZE:  # at -O2 and above the compiler deletes some of the bugs looked for
    COMMON["unix"] = [f for f in COMMON["unix"] if f not in ("-O0", "-O3", "-g0")] + ["-O1", "-g"]
if COVERAGE:  # -O1 keeps lines apart, and the suite soon done
    COMMON["unix"] = [f for f in COMMON["unix"] if f not in ("-O3", "-g0")] + ["-O1", "--coverage"]
# among them what newer compilers refuse: incompatible-pointer-types, int-conversion,
# implicit-function-declaration, discarded-qualifiers, return-type
if WERROR:
    COMMON["unix"] += ["-Wall", "-Werror"]
VARIANTS = {
    "baseline": {"unix": [], "msvc": []},
    "avx2": {"unix": ["-mavx2", "-mfma"], "msvc": ["/arch:AVX2"]},
    "avx512": {
        "unix": [
            "-mavx512f",
            "-mavx512dq",
            "-mavx512bw",
            "-mavx512vl",
            "-mavx2",
            "-mfma",
            "-mprefer-vector-width=512",
        ],
        "msvc": ["/arch:AVX512"],
    },
}
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "embedsignature": True,
    "freethreading_compatible": True,
}


def chosen_variants():
    named = os.environ.get("CMLP_VARIANTS", "")
    if named:
        return ["baseline"] + [v for v in named.split(",") if v in VARIANTS and v != "baseline"]
    return list(VARIANTS) if X86 else ["baseline"]


# a folder for each configuration, so that no build picks up another's leftovers
BUILD_BASE = "build/" + "-".join(
    re.findall(r"[\w.+]+", os.environ.get("CC", ""))
    + ["debug"] * DEBUG
    + ["werror"] * WERROR
    + [SANITIZE] * bool(SANITIZE)
    + ["coverage"] * COVERAGE
    + ["testing"] * TESTING
    + chosen_variants()
)


def extensions():
    headers = sorted(str(p) for p in CORE.iterdir() if p.suffix in (".h", ".pxd", ".pxi"))
    kinds = ("engine", "testing") if TESTING else ("engine",)
    names = ["_cpu"] + [f"_{kind}_{variant}" for variant in chosen_variants() for kind in kinds]
    return [
        Extension(
            f"cmlp._core.{name}",
            [str(CORE / f"{name}.pyx")],
            include_dirs=[str(CORE), np.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")]
            + [("CMLP_CHECKED", "1")] * (DEBUG or bool(SANITIZE)),
            depends=headers,
        )
        for name in names
    ]


class BuildExt(build_ext):
    """Gives each variant its flags, and leaves out those the compiler does not know."""

    def build_extensions(self):
        family = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        kept = []
        for ext in self.extensions:
            variant = ext.name.rpartition("_")[2]
            flags = VARIANTS.get(variant, VARIANTS["baseline"])[family]
            if flags and not self.accepts(flags):
                print(f"cmlp: the compiler rejects {' '.join(flags)}; no {ext.name}")
                continue
            sanitizer = SANITIZERS[SANITIZE]
            ext.extra_compile_args = COMMON[family] + flags + sanitizer
            profile = ["--coverage"] * COVERAGE
            ext.extra_link_args = ["-pthread", *sanitizer, *profile] if family == "unix" else []
            kept.append(ext)
        self.extensions[:] = kept
        self.parallel = self.parallel or min(len(kept), os.cpu_count() or 1)
        super().build_extensions()

    def accepts(self, flags):
        folder = tempfile.mkdtemp()
        try:
            source = Path(folder, "probe.c")
            source.write_text("int probe(void) { return 0; }\n")
            self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            return True
        except Exception:  # each compiler class raises its own
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def name_sources(modules):
    """Have the C name its sources as they lie here, so that gcovr finds them.

    Cython names them from the package on, or by their names alone, and copies the headers.
    """

    def named(line):
        places = (folder / line[2] for folder in (Path("src"), CORE))
        place = next((place for place in places if place.is_file()), Path(line[2]))
        return f'{line[1]}"{place.as_posix()}"'

    for path in (Path(source) for module in modules for source in module.sources):
        text = path.read_text(encoding="utf-8")
        renamed = re.sub(r'(?m)^(#line \d+ )"(.+)"$', named, text)
        if renamed != text:  # else it need not be compiled again
            path.write_text(renamed, encoding="utf-8")
        for copied in path.parent.glob("*.h"):
            copied.unlink()


modules = cythonize(
    extensions(),
    compiler_directives=DIRECTIVES,
    emit_linenums=COVERAGE,
    nthreads=0 if os.name == "nt" else 2,
    build_dir=f"{BUILD_BASE}/cython",
)
if COVERAGE:
    name_sources(modules)
setup(
    ext_modules=modules,
    options={"build": {"build_base": BUILD_BASE}},
    cmdclass={"build_ext": BuildExt},
)
