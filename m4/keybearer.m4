dnl SPDX-License-Identifier: Apache-2.0

dnl KB_DIR(VARIABLE, WHAT, DEFAULT): --with-VARIABLE, a folder of the installation.
AC_DEFUN([KB_DIR], [
        AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [folder of $2])], [$1="$withval"], [$1=$3])
        AC_SUBST([$1])
])

dnl KB_PKG_DIR(VARIABLE, PACKAGE, PKG-CONFIG-VARIABLE): as pkg-config says, unless told.
AC_DEFUN([KB_PKG_DIR], [
        PKG_CHECK_VAR([kb_pkg_$1], [$2], [$3])
        AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [as $2 names it])], [$1="$withval"], [$1="$kb_pkg_$1"])
        AS_IF([test -z "$$1"], [AC_MSG_ERROR([$2 does not name $3; use --with-$1=DIR])])
        AC_SUBST([$1])
])

dnl KB_TRY_FLAG(VARIABLE, FLAG): add FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([KB_TRY_FLAG], [
        kb_saved_cflags="$CFLAGS"
        CFLAGS="$CFLAGS -Werror $2"
        AC_MSG_CHECKING([whether $CC takes $2])
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
                [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
        CFLAGS="$kb_saved_cflags"
])

dnl Warnings never go into the user's CFLAGS.
AC_DEFUN([KB_WARNINGS], [
        WARN_CFLAGS=
        m4_foreach_w([kb_flag], [-Wall -Wextra -Wformat=2 -Wundef -Wshadow -Wmissing-prototypes
                -Wstrict-prototypes -Wmissing-declarations -Wvla -Wimplicit-fallthrough
                -Wcast-align -Wpointer-arith -Wwrite-strings -Wold-style-definition
                -Wno-unused-parameter -Wno-missing-field-initializers],
                [KB_TRY_FLAG([WARN_CFLAGS], kb_flag)])
        AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [warnings are errors])], [], [enable_werror=no])
        AS_IF([test "$enable_werror" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
        AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([KB_HARDENING], [
        HARDEN_CFLAGS=
        m4_foreach_w([kb_flag], [-fPIC -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing
                -ffunction-sections -fdata-sections -fvisibility=hidden],
                [KB_TRY_FLAG([HARDEN_CFLAGS], kb_flag)])
        HARDEN_LDFLAGS="-Wl,-z,relro -Wl,-z,now -Wl,--gc-sections -Wl,--as-needed"
        AC_SUBST([HARDEN_CFLAGS])
        AC_SUBST([HARDEN_LDFLAGS])
])

dnl -z defs does not go together with clang's sanitizers in a shared object.
AC_DEFUN([KB_SANITIZERS], [
        AC_ARG_WITH([sanitizers],
                [AS_HELP_STRING([--with-sanitizers=LIST], [for example address,undefined])], [], [with_sanitizers=no])
        MODULE_LINK="-shared"
        AS_IF([test "$with_sanitizers" = no],
                [MODULE_LINK="$MODULE_LINK -Wl,-z,defs"],
                [SANITIZER_FLAGS="-fsanitize=$with_sanitizers -fno-omit-frame-pointer -fno-sanitize-recover=all"])
        AM_CONDITIONAL([SANITIZED], [test "$with_sanitizers" != no])
        AC_SUBST([MODULE_LINK])
        AC_SUBST([SANITIZER_FLAGS])
])

AC_DEFUN([KB_COVERAGE], [
        AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage], [count executed lines (gcov)])], [],
                [enable_coverage=no])
        AS_IF([test "$enable_coverage" = yes], [COVERAGE_FLAGS="--coverage -O0"])
        AC_SUBST([COVERAGE_FLAGS])
])

dnl LIB_FUZZING_ENGINE is honoured, so that others can bring their own engine.
AC_DEFUN([KB_FUZZING], [
        AC_ARG_ENABLE([fuzzing], [AS_HELP_STRING([--enable-fuzzing], [build the fuzzers (clang)])], [],
                [enable_fuzzing=no])
        AM_CONDITIONAL([ENABLE_FUZZING], [test "$enable_fuzzing" = yes])
        AS_IF([test "$enable_fuzzing" = yes], [FUZZ_CFLAGS="-fsanitize=fuzzer-no-link"
                LIB_FUZZING_ENGINE="${LIB_FUZZING_ENGINE:--fsanitize=fuzzer}"])
        AC_SUBST([FUZZ_CFLAGS])
        AC_SUBST([LIB_FUZZING_ENGINE])
])

dnl A test build dies, on request, at the named points of common/crashpoint.h.
AC_DEFUN([KB_CRASHPOINTS], [
        AC_ARG_ENABLE([crashpoints], [AS_HELP_STRING([--enable-crashpoints], [test build that can be made to die at named points])],
                [], [enable_crashpoints=no])
        AS_IF([test "$enable_crashpoints" = yes],
                [AC_DEFINE([KB_ENABLE_CRASHPOINTS], [1], [Whether named crash points are compiled in])])
])
