# Every dependency is a Debian 12 package; ./dev setup installs them.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(CURL 7.88 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)
find_path(CKPT_HWY_INCLUDE hwy/highway.h REQUIRED)  # its headers alone: docs/decisions/0011-targets.md
find_package(CLI11 REQUIRED)
find_path(CKPT_TOMLPP_INCLUDE toml++/toml.h REQUIRED)
find_package(pugixml REQUIRED)
# The static library: of it only the tar reader is linked, which needs no further one. The shared one would bring libxml2 with ICU,
# some 35 MB, into the image.
find_path(CKPT_LIBARCHIVE_INCLUDE archive.h REQUIRED)
find_library(CKPT_LIBARCHIVE_STATIC libarchive.a REQUIRED)
add_library(ckpt_libarchive STATIC IMPORTED)
set_target_properties(ckpt_libarchive PROPERTIES IMPORTED_LOCATION ${CKPT_LIBARCHIVE_STATIC}
  INTERFACE_INCLUDE_DIRECTORIES ${CKPT_LIBARCHIVE_INCLUDE})
