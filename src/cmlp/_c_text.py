"""Words of C99 that C++ has too: numbers, strings, arrays, names, functions of one number.

No networks.
"""

import json
import re

import numpy as np

from cmlp._formulas import FORMULAS, Algebra, Term

#: Words that neither C nor C++ lets a function be called.
KEYWORDS = (
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t "
    "char32_t char8_t class co_await co_return co_yield compl concept const const_cast "
    "consteval constexpr constinit continue decltype default delete do double dynamic_cast "
    "else enum explicit export extern false float for friend goto if inline int long mutable "
    "namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
    "register reinterpret_cast requires restrict return short signed sizeof static "
    "static_assert static_cast struct switch template this thread_local throw true try "
    "typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while "
    "xor xor_eq"
)
#: Names of C's library that compilers know, or math.h has; main is the program's.
LIBRARY = (
    "HUGE_VAL HUGE_VALF HUGE_VALL INFINITY NAN abort abs acos acosh asin asinh atan atan2 "
    "atanh atexit atof atoi atol atoll bcmp bcopy bsearch bzero cabs calloc carg cbrt ceil "
    "cimag clog conj copysign cos cosh cpow cproj creal csin csqrt ctan div erf erfc errno "
    "exit exp exp2 expm1 fabs fdim floor fma fmax fmin fmod fprintf fputc fputs fread free "
    "frexp fscanf fwrite gamma getenv hypot i386 ilogb index isalnum isalpha isblank iscntrl "
    "isdigit isfinite isgraph isinf isless islower isnan isnormal isprint ispunct isspace "
    "isupper isxdigit j0 j1 jn labs ldexp ldiv lgamma linux llabs llrint llround log log10 "
    "log1p log2 logb lrint lround main malloc memchr memcmp memcpy memmove memset modf nan "
    "nearbyint nextafter nexttoward pow printf putchar puts qsort rand realloc remainder "
    "remquo rindex rint round scalbln scalbn scanf signbit signgam sin sinh snprintf sprintf "
    "sqrt srand sscanf strcat strchr strcmp strcpy strcspn strlen strncat strncmp strncpy "
    "strpbrk strrchr strspn strstr strtod strtol strtoul system tan tanh tgamma tolower "
    "toupper trunc unix vprintf vsprintf y0 y1 yn"
)
#: Names of variables beside which the function is called.
VARIABLES = "best i label x y"
TAKEN = frozenset(f"{KEYWORDS} {LIBRARY} {VARIABLES}".split())
#: Operations on numbers; {f} is "f" in float.
OPERATIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "maximum": "{0} > {1} ? {0} : {1}",
    "minimum": "{0} < {1} ? {0} : {1}",
    "negative": "-{0}",
    "absolute": "{0} < {zero} ? -{0} : {0}",
    "exp": "exp{f}({0})",
    "log": "log{f}({0})",
    "tanh": "tanh{f}({0})",
    "logistic": "{one} / ({one} + exp{f}(-{0}))",
    "relu": "{0} > {zero} ? {0} : {zero}",
    "if_negative": "{0} < {zero} ? {1} : {2}",
}


def check_name(name):
    """Raise unless a C function may be called so.

    Raises
    ------
    TypeError
        If it is no string.
    ValueError
        If it is no identifier, or one that C or C++ has a meaning for.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {name!r}.")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", name, re.ASCII):
        raise ValueError(
            "name must be an identifier of C, letters, digits and underscores after a letter, at"
            f" most 60 of them, got {name!r}."
        )
    if not TAKEN.isdisjoint((name, name.removesuffix("f"), name.removesuffix("l"))):
        raise ValueError(
            "name must not be a word of C or C++, a function of their libraries (or that and f or"
            f" l), or one of {VARIABLES.split()}, got {name!r}."
        )


class FunctionBody(Algebra):
    """Statements of a function of one number: Terms are names of its variables.

    Parameters
    ----------
    dtype : numpy.dtype, float32 or float64
    """

    def __init__(self, dtype):
        self.dtype = dtype
        self.lines = []

    def apply(self, operation, *terms):
        names = [one.name if isinstance(one, Term) else self.number(one) for one in terms]
        text = OPERATIONS[operation].format(*names, **self._words())
        name = f"t{len(self.lines) + 1}"
        self.lines.append(f"    const {c_type(self.dtype)} {name} = {text};")
        return Term(self, name)

    def number(self, value):
        """A float as a constant, in parentheses if it has a sign."""
        text = number(self.dtype.type(value))
        return f"({text})" if text.startswith("-") else text

    def _words(self):
        suffix = "f" if self.dtype == np.float32 else ""
        return {"f": suffix, "zero": number(self.dtype.type(0)), "one": number(self.dtype.type(1))}


def activation_function(activation, name, dtype):
    """The C function of an activation, static."""
    body = FunctionBody(dtype)
    result = FORMULAS[activation](body, Term(body, "z"))
    T = c_type(dtype)
    lines = [f"static {T} {name}({T} z)", "{", *body.lines, f"    return {result.name};", "}"]
    return "\n".join(lines)


def c_type(dtype):
    """The name of a dtype's type."""
    return "float" if dtype == np.float32 else "double"


def number(value):
    """A NumPy number, finite, as a constant of its type."""
    if isinstance(value, np.integer):
        return str(int(value))
    text = str(value) if isinstance(value, np.float32) else repr(float(value))
    if not any(mark in text for mark in ".e"):
        text += ".0"
    return f"{text}f" if isinstance(value, np.float32) else text


def braced(array):
    """An array as an initializer, rows of the last axis filling lines."""
    if array.ndim > 1:
        return "{" + ",\n".join(map(braced, array)) + "}"
    lines, line = [], ""
    for value in map(number, array):
        if len(line) + len(value) > 92:
            lines.append(line)
            line = ""
        line += f"{value}, "
    lines.append(line.rstrip(", "))
    return "{" + "\n    ".join(one.rstrip() for one in lines) + "}"


def string(text):
    """A str as a constant, in UTF-8; what is no plain letter as octal digits.

    Raises
    ------
    ValueError
        If it has a NUL, which ends a string in C.
    """
    if "\0" in text:
        raise ValueError(f"to_c cannot hold the string {text!r} in classes_, which has a NUL.")
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(c) if c in plain else f"\\{c:03o}" for c in text.encode()) + '"'


def commented(value):
    """A value as JSON that does not end a comment, nor begin another."""
    text = json.dumps(value)
    for mark in ("*/", "/*", "//", "??"):
        while mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1]}")
    return text
