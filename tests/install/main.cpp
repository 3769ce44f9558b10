// The same from C++, with lucet.hpp.
#include <iostream>
#include <lucet.hpp>

int main(int argc, char **argv)
{
    lucet::module_config config;
    config.allow_unsigned(true);

    auto region = lucet::region::create().or_throw();
    auto module = lucet::module::load_file(argc > 1 ? argv[1] : "add.so", config).or_throw();
    auto instance = lucet::instance::create(region, module).or_throw();
    auto add = instance.get<std::int32_t(std::int32_t, std::int32_t)>("add").or_throw();

    std::cout << "2 + 3 = " << add.or_throw(2, 3) << '\n';
}
